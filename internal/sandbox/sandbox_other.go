//go:build !linux

package sandbox

// enter does nothing: only Linux has what is needed.
func enter(Policy) (held, missing []string, err error) {
	return nil, []string{"only Linux can"}, nil
}
