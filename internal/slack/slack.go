//go:build linux && cgo

// Package slack lets the kernel bring the timers of this process together, which costs far fewer wake-ups. It is imported for that alone.
//
// Go's monitor thread asks to sleep for 20 µs, again and again, whenever a call of C or of the kernel takes longer than that, which is what
// a process does that infers or waits for the disk. Each of these sleeps ends in an interrupt and a change of threads: with networks of a
// few milliseconds they came to 4 % of all that a machine of two cores could do. The kernel may prolong each sleep by the
// timer slack of its thread, 50 µs by default. With a millisecond most of them fall together. In turn, timers
// of the process go off up to a millisecond late.
//
// A thread passes its slack on to threads that it makes. The monitor is made before any Go code of a program runs, so the slack is set before
// that, in what the C library calls first. See prctl(2), PR_SET_TIMERSLACK.
package slack

/*
#include <sys/prctl.h>

__attribute__((constructor)) static void widen(void) { prctl(PR_SET_TIMERSLACK, 1000000UL, 0, 0, 0); }
*/
import "C"
