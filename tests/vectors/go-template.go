// Recomputes what Go says in go-template.json: go run go-template.go < go-template.json
// "unsupported" is ours: templates that Go takes and we refuse.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/template"
)

type vector struct {
	Template    string  `json:"template"`
	Text        *string `json:"text,omitempty"`
	Error       string  `json:"error,omitempty"`
	SyntaxError string  `json:"syntax_error,omitempty"`
	Unsupported bool    `json:"unsupported,omitempty"`
}

func compute(v vector, data map[string]string) vector {
	v = vector{Template: v.Template, Unsupported: v.Unsupported}
	parsed, err := template.New("").Option("missingkey=error").Parse(v.Template)
	if err != nil {
		v.SyntaxError = err.Error()
		return v
	}
	var out strings.Builder
	if err := parsed.Execute(&out, data); err != nil {
		v.Error = err.Error()
		return v
	}
	text := out.String()
	v.Text = &text
	return v
}

func main() {
	var groups []struct {
		Data  map[string]string
		Cases []vector
	}
	if err := json.NewDecoder(os.Stdin).Decode(&groups); err != nil {
		panic(err)
	}
	for i, group := range groups {
		data, _ := json.Marshal(group.Data)
		lines := make([]string, len(group.Cases))
		for j, v := range group.Cases {
			line, _ := json.Marshal(compute(v, group.Data))
			lines[j] = string(line)
		}
		fmt.Printf("%s{\"data\": %s, \"cases\": [\n%s\n]}", []string{",\n", "[\n"}[max(0, 1-i)], data, strings.Join(lines, ",\n"))
	}
	fmt.Println("\n]")
}
