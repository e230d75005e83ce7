package care

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Limits of a log that is read. Source: local.
const (
	maxLogLine = 64 << 10 // bytes; a longer one is left out
	maxLogOut  = 1 << 20  // bytes of what is kept: the newest
)

var (
	logHead  = regexp.MustCompile(`^time=(\S+) level=(DEBUG|INFO|WARN|ERROR) msg=("(?:[^"\\]|\\.)*"|\S+)(.*)$`)
	logCount = regexp.MustCompile(` ([a-z_]{1,24})=(-?[0-9]{1,9}|true|false)(?: |$)`)
	logWords = regexp.MustCompile(`^[A-Za-z][A-Za-z ,:'-]{0,119}$`)

	traceFunc = regexp.MustCompile(`^(?:created by )?((?:github\.com/lares-drm/lares|main|runtime|net/http|internal)[A-Za-z0-9_./-]*(?:\(\*?[A-Za-z0-9_]+\)[A-Za-z0-9_./-]*)*)\(`)
	traceFile = regexp.MustCompile(`^\t(\S+\.go):([0-9]+)`)
	traceHead = regexp.MustCompile(`^goroutine [0-9]+ \[[a-z A-Z,0-9-]*\]:$`)
)

// RedactLog keeps of a server's log what no person, house or title can be read
// from: time, level and message of each line (a message is a constant of the
// program, as a test of this package sees to), its counts, and of a crash the functions and lines of code. Every
// other line is left out, and counted.
func RedactLog(r io.Reader) ([]byte, error) {
	var out bytes.Buffer
	left := 0
	in := bufio.NewReaderSize(r, maxLogLine)
	for {
		line, long, err := in.ReadLine()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read the log: %w", err)
		}
		if kept, ok := redactLine(string(line)); ok && !long {
			out.WriteString(kept + "\n")
		} else {
			left++
		}
		if out.Len() > 2*maxLogOut {
			out.Next(out.Len() - maxLogOut)
		}
	}
	out.Next(max(0, out.Len()-maxLogOut))
	fmt.Fprintf(&out, "(%d lines left out)\n", left)
	return out.Bytes(), nil
}

func redactLine(line string) (string, bool) {
	if m := logHead.FindStringSubmatch(line); m != nil {
		return redactEntry(m)
	}
	switch {
	case strings.HasPrefix(line, "panic: "), strings.HasPrefix(line, "fatal error: "):
		return "panic", true // what it says may quote anything
	case traceHead.MatchString(line):
		return line, true
	}
	if m := traceFunc.FindStringSubmatch(line); m != nil {
		return m[1] + "()", true
	}
	if m := traceFile.FindStringSubmatch(line); m != nil {
		return "\t" + path.Base(m[1]) + ":" + m[2], true
	}
	return "", false
}

func redactEntry(m []string) (string, bool) {
	at, err := time.Parse(time.RFC3339Nano, m[1])
	if err != nil {
		return "", false
	}
	msg := m[3]
	if s, err := strconv.Unquote(msg); err == nil {
		msg = s
	}
	if !logWords.MatchString(msg) || strings.HasPrefix(msg, "http:") { // net/http writes what it was told
		msg = "(left out)"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %-5s %s", at.UTC().Format(time.RFC3339), m[2], msg)
	for _, c := range logCount.FindAllStringSubmatch(quoted.ReplaceAllString(m[4], "="), -1) {
		fmt.Fprintf(&b, " %s=%s", c[1], c[2])
	}
	return b.String(), true
}

// quoted values are never counts, and may hold what looks like one.
var quoted = regexp.MustCompile(`="(?:[^"\\]|\\.)*"`)
