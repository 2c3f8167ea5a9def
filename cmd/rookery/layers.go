package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
)

const envPrefix = "ROOKERY_"

// settings are a config and where each of its values comes from. Flags win
// over variables, those over the file, that over defaults.
type settings struct {
	config
	flags   *pflag.FlagSet // the settings alone, in their order
	file    string         // --config
	origin  map[string]string
	environ []string
}

// newSettings declares the settings, and --config, in fs.
func newSettings(fs *pflag.FlagSet, environ []string) *settings {
	s := &settings{origin: map[string]string{}, environ: environ}
	s.flags = pflag.NewFlagSet("settings", pflag.ContinueOnError)
	s.flags.SortFlags = false
	s.register(s.flags)
	fs.SortFlags = false
	fs.AddFlagSet(s.flags)
	fs.StringVar(&s.file, "config", "", "YAML file with settings by the names of these flags (ROOKERY_CONFIG)")
	return s
}

// load fills the settings from file and variables after flags were parsed.
// Every error is the user's; all are returned together.
func (s *settings) load() error {
	env, err := loadLayer(environment(s.environ), nil)
	if err != nil {
		return err
	}
	if path, ok := env["config"].(string); ok {
		if s.file == "" {
			s.file = path
		}
		delete(env, "config")
	}
	layers := []layer{{"env", func(key string) string { return envPrefix + strings.ToUpper(strings.ReplaceAll(key, "-", "_")) }, env}}
	if s.file != "" {
		values, err := loadLayer(file.Provider(s.file), yaml.Parser())
		if err != nil {
			return fmt.Errorf("config file: %w", err)
		}
		layers = append(layers, layer{"file", func(key string) string { return s.file + ": " + key }, values})
	}
	errs := s.unknown(layers)
	s.flags.VisitAll(func(f *pflag.Flag) { errs = append(errs, s.settle(f, layers)) })
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return s.check(func(name string) bool { return s.origin[name] != "default" })
}

// layer is one source of settings below the flags.
type layer struct {
	origin string
	label  func(key string) string // names a key in an error
	values map[string]any
}

// settle takes f's value from the uppermost layer that has one. Lower layers
// are parsed too, so that a bad value shows before it is needed.
func (s *settings) settle(f *pflag.Flag, layers []layer) error {
	s.origin[f.Name] = "default"
	chosen := f.Value.String()
	if f.Changed {
		s.origin[f.Name] = "flag"
	}
	var errs []error
	for _, l := range layers {
		raw, ok := l.values[f.Name]
		if !ok {
			continue
		}
		text, err := scalar(raw)
		if err == nil {
			err = f.Value.Set(text)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", l.label(f.Name), err))
			continue
		}
		if s.origin[f.Name] == "default" {
			s.origin[f.Name], chosen = l.origin, text
		}
	}
	return errors.Join(append(errs, f.Value.Set(chosen))...)
}

// unknown refuses keys that name no setting, in a stable order.
func (s *settings) unknown(layers []layer) []error {
	var errs []error
	for _, l := range layers {
		for _, key := range slices.Sorted(maps.Keys(l.values)) {
			if s.flags.Lookup(key) == nil {
				errs = append(errs, fmt.Errorf("%s: no such setting", l.label(key)))
			}
		}
	}
	return errs
}

// loadLayer reads one source into flat keys.
func loadLayer(p koanf.Provider, parser koanf.Parser) (map[string]any, error) {
	k := koanf.New(".")
	if err := k.Load(p, parser); err != nil {
		return nil, err
	}
	return k.All(), nil
}

// scalar returns what a file may hold for a setting as the text that a flag
// would have: a scalar, or a list of scalars joined by commas.
func scalar(raw any) (string, error) {
	switch v := raw.(type) {
	case nil:
		return "", errors.New("has no value; leave it out or write \"\"")
	case map[string]any:
		return "", errors.New("takes one value")
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			_, nested := e.([]any)
			text, err := scalar(e)
			if nested || err != nil || strings.Contains(text, ",") {
				return "", fmt.Errorf("element %d of the list is no plain value", i+1)
			}
			parts[i] = text
		}
		return strings.Join(parts, ","), nil
	}
	return fmt.Sprint(raw), nil
}

// environment is the koanf provider of ROOKERY_* variables.
type environment []string

// kubernetesLink matches the variables that Kubernetes sets in each container
// for a service called rookery or rookery-something; they are no settings.
var kubernetesLink = regexp.MustCompile(`^ROOKERY_([A-Z0-9_]+_)?(SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// Read returns the variables by the names of their settings.
func (e environment) Read() (map[string]any, error) {
	values := map[string]any{}
	for _, kv := range e {
		name, value, _ := strings.Cut(kv, "=")
		key, ours := strings.CutPrefix(name, envPrefix)
		if ours && !kubernetesLink.MatchString(name) {
			values[strings.ToLower(strings.ReplaceAll(key, "_", "-"))] = value
		}
	}
	return values, nil
}

// ReadBytes is not for this provider: variables need no parser.
func (environment) ReadBytes() ([]byte, error) { return nil, os.ErrInvalid }
