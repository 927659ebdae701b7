package iac

import (
	"regexp"
	"strings"
)

// What the runners of pipelines take for commands in whatever is printed: GitHub's from "::name::" at the beginning of a
// line, after blanks (github.com/actions/runner, ActionCommand.TryParseV2), and, like Azure Pipelines' and TeamCity's,
// from "##[", "##vso[" and "##teamcity[" anywhere in it (TryParse there; microsoft/azure-pipelines-agent, Command.TryParse).
var (
	beginningCommand = regexp.MustCompile(`^((?:[\s\p{Z}]|\x1b\[[0-9;]*m)*):(:[A-Za-z].*::)`)
	withinCommand    = regexp.MustCompile(`##([A-Za-z]*\[)`)
)

// Inert puts a space where a line of text would be a command to the runner of a pipeline. A name in a plan, or a word of
// a server, may hold anything, and where a line breaks is not known before.
func Inert(line string) string {
	if strings.Contains(line, "::") {
		line = beginningCommand.ReplaceAllString(line, "$1: $2")
	}
	if strings.Contains(line, "##") {
		line = withinCommand.ReplaceAllString(line, "## $1")
	}
	return line
}

// inertLines is [Inert] for each line.
func inertLines(text string) string {
	if !strings.Contains(text, "::") && !strings.Contains(text, "##") {
		return text
	}
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = Inert(lines[i])
	}
	return strings.Join(lines, "\n")
}
