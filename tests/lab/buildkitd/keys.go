// Prints each key that buildkitd.toml may hold, and the Go type it is read into, from BuildKit's own structs.
package main

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/moby/buildkit/cmd/buildkitd/config"
)

var unmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()

func value(path string, t reflect.Type) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case reflect.PointerTo(t).Implements(unmarshaler):
		fmt.Println(path, strings.ToLower(t.Name()))
	case t.Kind() == reflect.Struct:
		fields(path+".", t)
	case t.Kind() == reflect.Map && t.Elem().Kind() == reflect.Struct:
		value(path+".*", t.Elem())
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		value(path+"[]", t.Elem())
	default:
		fmt.Println(path, t)
	}
}

func fields(prefix string, t reflect.Type) {
	for field := range t.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("toml"), ",")
		switch {
		case field.Anonymous && name == "":
			fields(prefix, field.Type)
			continue
		case name == "":
			name = field.Name
		case strings.Contains(name, "."):
			name = strconv.Quote(name)
		}
		value(prefix+name, field.Type)
	}
}

func main() {
	fields("", reflect.TypeFor[config.Config]())
}
