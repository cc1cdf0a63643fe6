// Serves SQS on the loopback interface. The address is printed as the first line. The line "stop" on standard input closes the
// port, "start" opens the same one again, with all queues as they were; the end of input ends the process.
import http from 'node:http'
import readline from 'node:readline'
import { pathToFileURL } from 'node:url'

const { buildApp } = await import(pathToFileURL(process.argv[1]).href)
const app = buildApp({ logger: false, host: '127.0.0.1' })
await app.ready()

let server
let port = 0
function start() {
  server = http.createServer((request, response) => app.routing(request, response))
  server.keepAliveTimeout = 60_000
  server.listen(port, '127.0.0.1', () => {
    port = server.address().port
    console.log(`http://127.0.0.1:${port}`)
  })
}
function stop() {
  server.close(() => console.log('stopped'))
  server.closeAllConnections()
}

start()
const input = readline.createInterface({ input: process.stdin })
input.on('line', (line) => (line === 'stop' ? stop() : start()))
input.on('close', () => process.exit(0))
