package intake

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash/fnv"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/access"
)

// turnsOfOwner is how many groups the jobs of one owner share.
const turnsOfOwner = 3

// turns is the group whose turns at the queue the images of a job share. A job without an owner is a group of its own, so that a small one
// overtakes a large one. Where the owner is known, all jobs of one share a few groups: who floods the service with jobs has three turns to
// each of anybody else, however many they are, and small jobs still overtake large ones.
func turns(owner string, job ocelli.JobID) string {
	if owner == "" {
		return string(job)
	}
	h := fnv.New32a()
	h.Write([]byte(job))
	return fmt.Sprintf("%x-%d", sha256.Sum256([]byte(owner)), h.Sum32()%turnsOfOwner) // owners can have any name, groups cannot
}

// modestShare is the part of the backlog that an owner may have waiting and still count as modest, and also what is kept for modest ones
// beyond the limit: a tenth.
const modestShare = 10

// reserve is how many images beyond the limit of the backlog whoever asks under ctx may have waiting. An owner of whom little waits is let in
// while those who fill the queue are refused.
func (in *Intake) reserve(ctx context.Context) int64 {
	share := in.Limits.Backlog / modestShare
	if owner := access.Owner(ctx); owner == "" || in.Tracker.LeftOf(owner) > share {
		return 0
	}
	return share
}
