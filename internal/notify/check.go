package notify

import (
	"fmt"
	"strings"
)

// MaxBody is the most bytes that one message may have.
const MaxBody = 64 << 10

// maxTopic is the longest topic, in bytes.
const maxTopic = 200

const topicChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

// CheckTopic tells what is wrong with a topic, for drivers.
func CheckTopic(topic string) error {
	if len(topic) > maxTopic {
		return fmt.Errorf("the topic %.40q… has %d bytes, and %d is the most", topic, len(topic), maxTopic)
	}
	for part := range strings.SplitSeq(topic, ".") {
		if part == "" || strings.Trim(part, topicChars) != "" {
			return fmt.Errorf("the topic %q is not made of letters, digits, - and _ in parts joined by dots", topic)
		}
	}
	return nil
}

// CheckMessage tells what is wrong with a message that is about to be published, for drivers.
func CheckMessage(topic string, body []byte) error {
	if len(body) > MaxBody {
		return fmt.Errorf("a message of %d bytes for topic %.40q is too long: %d is the most", len(body), topic, MaxBody)
	}
	return CheckTopic(topic)
}
