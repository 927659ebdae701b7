package main

import (
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/notafter/notafter/internal/config"
)

// completeFrom makes a shell offer what the configuration that -c names has, up to a number of arguments, and to any
// number when that is zero. Without -c, and from a file with a problem, it offers nothing.
func completeFrom(file *string, most int, of func(*config.Config) []string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if *file == "" || most > 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		c, err := config.Load(*file)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return slices.DeleteFunc(of(c), func(name string) bool { return slices.Contains(args, name) }), cobra.ShellCompDirectiveNoFileComp
	}
}

// renewedNames are the certificates that have a renewer.
func renewedNames(c *config.Config) (list []string) {
	for i := range c.Certificates {
		if _, ok := c.RenewerOf(&c.Certificates[i]); ok {
			list = append(list, c.Certificates[i].Name)
		}
	}
	return list
}

// renewerNames are the renewers that certificates name.
func renewerNames(c *config.Config) (list []string) {
	for i := range c.Certificates {
		if _, ok := c.RenewerOf(&c.Certificates[i]); ok && !slices.Contains(list, c.Certificates[i].Renewer) {
			list = append(list, c.Certificates[i].Renewer)
		}
	}
	return list
}

// durationFlag takes what the configuration takes: "10s", "30d".
type durationFlag struct{ d *time.Duration }

func (f durationFlag) String() string {
	if f.d == nil {
		return ""
	}
	return config.Duration(*f.d).String()
}

func (f durationFlag) Set(s string) error {
	d, err := config.ParseDuration(s)
	if err != nil {
		return err
	}
	*f.d = d.Std()
	return nil
}

func (durationFlag) Type() string { return "duration" }

func durationVar(fs *pflag.FlagSet, d *time.Duration, name string, value time.Duration, usage string) {
	*d = value
	fs.Var(durationFlag{d}, name, usage)
}

// completed makes a shell offer the values that a flag takes.
func completed(cmd *cobra.Command, flag string, values ...string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag is not declared
	}
}
