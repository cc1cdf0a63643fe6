package intake

import (
	"crypto/sha256"
	"fmt"
	"hash/fnv"

	"github.com/ocelli/ocelli"
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
