package procfleet

import "syscall"

// ownGroup puts a child in its own process group and ties its life to the thread that forks it.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
