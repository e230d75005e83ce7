//go:build !amd64 && !arm64 && !arm

package module

import (
	"fmt"
	"runtime"
)

func seccomp() (string, error) { return "", fmt.Errorf("no filter for %s", runtime.GOARCH) }
