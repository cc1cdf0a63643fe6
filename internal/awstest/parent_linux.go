package awstest

import (
	"os/exec"
	"syscall"
)

// endWithParent makes the program end when the test process is killed and cannot end it.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
