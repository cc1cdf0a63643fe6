package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ocelli/ocelli/internal/access"
	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/web"
)

// settings are what the page of the settings may change; nil where workers are kept elsewhere.
func (n *node) settings() *web.Settings {
	if n.keeper == nil {
		return nil
	}
	return &web.Settings{Leads: n.leads, Now: n.keeper.loop.Policy, Start: n.keeper.hands.policy, Change: n.keeper.loop.Change, Allowed: n.door.operator}
}

// operator reports whether a request comes from somebody who may change settings: with an admin's key, or, where no keys are asked for,
// from this machine itself. What a proxy has passed on may come from anywhere.
func (d *door) operator(r *http.Request) (ok bool, hint string) {
	if d.guard != nil {
		c := access.From(r.Context())
		return c != nil && c.May(access.Admin), "a key with the scope admin may change it"
	}
	for _, header := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via"} {
		if r.Header.Get(header) != "" {
			return false, "through a proxy it can be changed with API keys only: start the service with --auth=on"
		}
	}
	return d.local, "where others than this machine can connect it can be changed with API keys only: start the service with --auth=on"
}

// The free space of a disk below which the health page warns, and the share of it.
const (
	lowDisk      = 2 << 30
	lowDiskShare = 0.02
)

// checks tell how everything does that the node stands on.
func (n *node) checks(ctx context.Context) []web.Check {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	began := time.Now()
	stats, err := n.backends.queue.Stats(ctx)
	all := []web.Check{answered("Queue", began, err, fmt.Sprintf("%d images in it", stats.Ready+stats.Leased))}
	began = time.Now()
	_, err = blob.Identity(ctx, n.backends.blobs)
	all = append(all, answered("Store", began, err, "it is the one that this service began with"))
	if n.folder != "" {
		all = append(all, diskCheck(n.folder))
	}
	s := n.status(ctx)
	workers := web.Check{Name: "Workers", OK: s.Problem == "", Says: s.Problem}
	if workers.OK {
		workers.Says = fmt.Sprintf("%d at work, %d wanted", len(s.Workers), s.Wanted)
		if n.keeper == nil {
			workers.Says = fmt.Sprintf("%d heard of; they are kept elsewhere", len(s.Workers))
		}
	}
	return append(all, workers)
}

func answered(name string, began time.Time, err error, says string) web.Check {
	if err != nil {
		return web.Check{Name: name, Says: "it does not answer: " + err.Error()}
	}
	took := max(0.1, float64(time.Since(began).Microseconds())/1000)
	return web.Check{Name: name, OK: true, Says: fmt.Sprintf("it answers in %.1f ms; %s", took, says)}
}

func diskCheck(folder string) web.Check {
	var disk unix.Statfs_t
	if err := unix.Statfs(folder, &disk); err != nil {
		return web.Check{Name: "Disk", Says: fmt.Sprintf("%s cannot be looked at: %v", folder, err)}
	}
	free, whole := float64(disk.Bavail)*float64(disk.Bsize), float64(disk.Blocks)*float64(disk.Bsize)
	c := web.Check{Name: "Disk", OK: free > lowDisk && free > lowDiskShare*whole, Says: fmt.Sprintf("%.1f GB of %.1f GB are free", free/1e9, whole/1e9)}
	if !c.OK {
		c.Says += ": make room, or pictures will be refused"
	}
	return c
}
