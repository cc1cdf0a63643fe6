#!/usr/bin/env bash
# Writes dist/ocelli.cdx.json: what bin/ocelli is made of, in CycloneDX (https://cyclonedx.org), with licences. The Go modules are those that the
# linker put in; the two libraries that are no Go modules, ONNX Runtime and libjpeg-turbo, are added.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${VERSION:=development}"
out=dist/ocelli.cdx.json
mkdir -p dist
GOFLAGS='' go run github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0 \
  bin -json -licenses -std -noserial -notimestamp -version "$VERSION" -output "$out" bin/ocelli 2> >(grep -v WRN >&2)

ort=$(sed -n 's/^ort_version=//p' scripts/setup.sh)
jpeg=$(dpkg-query -W -f '${Version}' libjpeg62-turbo-dev 2>/dev/null || echo unknown)
node - "$out" "$ort" "$jpeg" <<'JS'
const fs = require('fs')
const [, , file, ort, jpeg] = process.argv
const bom = JSON.parse(fs.readFileSync(file, 'utf8'))
const library = (name, version, licence, purl) => ({ 'bom-ref': purl, type: 'library', name, version, purl, licenses: [{ license: { id: licence } }] })
bom.components.push(
  library('onnxruntime', ort, 'MIT', `pkg:npm/onnxruntime-node@${ort}`),
  library('libjpeg-turbo', jpeg, 'IJG', `pkg:deb/debian/libjpeg62-turbo-dev@${encodeURIComponent(jpeg)}`),
)
const isOurs = (c) => c.name === 'github.com/ocelli/ocelli'
for (const c of [bom.metadata.component, ...bom.components]) {
  if (c && (isOurs(c) || c.name === 'std') && !c.licenses) c.licenses = [{ license: { id: isOurs(c) ? 'Apache-2.0' : 'BSD-3-Clause' } }]
}
const unknown = bom.components.filter((c) => !(c.licenses || []).length && !(c.evidence && c.evidence.licenses))
fs.writeFileSync(file, JSON.stringify(bom, null, 2) + '\n')
console.log(`${file}: ${bom.components.length} components`)
if (unknown.length) console.log('without a known licence: ' + unknown.map((c) => c.name).join(', '))
JS
