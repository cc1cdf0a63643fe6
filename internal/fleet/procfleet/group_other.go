//go:build unix && !linux

package procfleet

import "syscall"

// ownGroup puts a child in its own process group. Here only the lifeline tells it that its parent has died.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
