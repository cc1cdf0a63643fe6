package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// crowd is who comes at once.
type crowd struct{ idle, slow, good int }

// counts are what the crowd sees. Good clients must see no error; the others may be sent away.
type counts struct {
	idle, slow, sentAway atomic.Int64 // connections that are there now, and those that the service has closed
	mu                   sync.Mutex
	latencies            []time.Duration // of good requests
	errors               []string
}

func (c *crowd) run(ctx context.Context, program string, duration time.Duration, out io.Writer) error {
	s, err := start(ctx, program)
	if err != nil {
		return err
	}
	defer s.end()
	var seen counts
	coming, leave := context.WithCancel(ctx)
	var all sync.WaitGroup
	address := strings.TrimPrefix(s.url, "http://")
	for range c.idle {
		all.Go(func() { stay(coming, address, &seen.idle, &seen, idle) })
	}
	for range c.slow {
		all.Go(func() { stay(coming, address, &seen.slow, &seen, trickle) })
	}
	for end := time.Now().Add(time.Minute); seen.idle.Load() < int64(c.idle) || seen.slow.Load() < int64(c.slow); time.Sleep(50 * time.Millisecond) {
		if ctx.Err() != nil || time.Now().After(end) {
			leave()
			all.Wait()
			return fmt.Errorf("of %d idle connections %d could be made, and of %d slow ones %d", c.idle, seen.idle.Load(), c.slow, seen.slow.Load())
		}
	}
	fmt.Fprintf(out, "%d connections are idle, %d upload by the byte; %d good clients come, for %v\n", c.idle, c.slow, c.good, duration)
	fewest := min(seen.idle.Load()+seen.slow.Load(), int64(c.idle+c.slow))
	sending, enough := context.WithTimeout(ctx, duration)
	var good sync.WaitGroup
	for range c.good {
		good.Go(func() { seen.be(sending, s) })
	}
	most := usage{}
	for sending.Err() == nil {
		u := usageOf(s.cmd.Process.Pid)
		most.resident, most.descriptors = max(most.resident, u.resident), max(most.descriptors, u.descriptors)
		fewest = min(fewest, seen.idle.Load()+seen.slow.Load())
		select {
		case <-sending.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
	good.Wait()
	enough()
	leave()
	all.Wait()
	slices.Sort(seen.latencies)
	n := len(seen.latencies)
	if n == 0 {
		return fmt.Errorf("no good request was answered: %v", seen.errors)
	}
	fmt.Fprintf(out, "%d good requests, %d errors; p50 %v, p99 %v, most %v; %d others at least at any time, %d sent away in all; web node at most %d MB and %d descriptors\n",
		n, len(seen.errors), seen.latencies[n/2].Round(time.Millisecond), seen.latencies[n*99/100].Round(time.Millisecond),
		seen.latencies[n-1].Round(time.Millisecond), fewest, seen.sentAway.Load(), most.resident>>20, most.descriptors)
	if len(seen.errors) > 0 {
		for _, e := range seen.errors[:min(5, len(seen.errors))] {
			fmt.Fprintln(out, e)
		}
		return errBroken
	}
	return nil
}

// be is a good client: it sends a picture and waits for its labels, over and over.
func (seen *counts) be(ctx context.Context, s *service) {
	data := picture()
	for ctx.Err() == nil {
		began := time.Now()
		// A request that is under way when the time is up may finish.
		result, err := s.client.Classify(context.WithoutCancel(ctx), "picture.png", bytes.NewReader(data))
		if err == nil && (result.Width != pictureWidth || len(result.Labels) == 0) {
			err = fmt.Errorf("the answer is not that of the picture: %+v", result)
		}
		seen.mu.Lock()
		if err != nil {
			seen.errors = append(seen.errors, err.Error())
		} else {
			seen.latencies = append(seen.latencies, time.Since(began))
		}
		seen.mu.Unlock()
	}
}

const pictureWidth = 120

func picture() []byte {
	img := image.NewPaletted(image.Rect(0, 0, pictureWidth, 90), color.Palette{color.White, color.RGBA{200, 60, 20, 255}})
	for i := range img.Pix {
		img.Pix[i] = uint8(i / 7 % 2)
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(err) // a buffer takes everything
	}
	return b.Bytes()
}

// stay keeps a connection, and makes a new one whenever the service has closed it, until ctx ends.
func stay(ctx context.Context, address string, count *atomic.Int64, seen *counts, behave func(context.Context, net.Conn) error) {
	for ctx.Err() == nil {
		c, err := (&net.Dialer{Timeout: 30 * time.Second}).DialContext(ctx, "tcp", address)
		if err != nil {
			time.Sleep(100 * time.Millisecond)
			continue
		}
		closing := context.AfterFunc(ctx, func() { c.Close() })
		count.Add(1)
		_ = behave(ctx, c)
		count.Add(-1)
		closing()
		c.Close()
		if ctx.Err() == nil {
			seen.sentAway.Add(1)
		}
	}
}

// idle asks once, as browsers do, and then says nothing until the service closes the connection.
func idle(_ context.Context, c net.Conn) error {
	if _, err := io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: siege\r\n\r\n"); err != nil {
		return err
	}
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return err
	}
	resp.Body.Close()
	_, err = io.Copy(io.Discard, r)
	return err
}

// trickle uploads a picture of a megabyte, one byte at a time.
func trickle(ctx context.Context, c net.Conn) error {
	_, err := io.WriteString(c, "POST /v1/classify HTTP/1.1\r\nHost: siege\r\nContent-Type: image/png\r\nContent-Length: 1000000\r\n\r\n\x89PNG\r\n")
	for ctx.Err() == nil && err == nil {
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
		_, err = c.Write([]byte{0})
	}
	return err
}
