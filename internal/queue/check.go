package queue

import (
	"fmt"
	"unicode/utf8"
)

// maxName is the longest ID or Group, in bytes: Amazon SQS takes no more for either.
const maxName = 128

// Check tells what is wrong with messages that are about to be sent, for drivers: an ID that is missing,
// an ID or a Group that is not made of at most 128 visible ASCII characters, a body that is too long or not UTF-8.
func Check(msgs ...Message) error {
	for i, m := range msgs {
		switch {
		case m.ID == "":
			return fmt.Errorf("message %d has no ID", i)
		case !validName(m.ID):
			return fmt.Errorf("message %d: the ID %.40q… is not made of at most %d visible ASCII characters", i, m.ID, maxName)
		case !validName(m.Group):
			return fmt.Errorf("message %s: the group %.40q… is not made of at most %d visible ASCII characters", m.ID, m.Group, maxName)
		case len(m.Body) > MaxBody:
			return fmt.Errorf("message %s: the body has %d bytes, and %d is the most", m.ID, len(m.Body), MaxBody)
		case !utf8.Valid(m.Body):
			return fmt.Errorf("message %s: the body is not UTF-8 text", m.ID)
		}
	}
	return nil
}

// CheckReceive tells what is wrong with the number of messages asked of Receive, for drivers.
func CheckReceive(max int) error {
	if max < 1 || max > MaxReceive {
		return fmt.Errorf("receive: %d messages asked for, and it must be 1 to %d", max, MaxReceive)
	}
	return nil
}

func validName(s string) bool {
	if len(s) > maxName {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
