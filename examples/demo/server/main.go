// Serves the pages of the shop.
package main

import (
	"embed"
	"encoding/json"
	"io/fs"
	"log"
	"net/http"
	"strings"
)

// The version of the shop.
const version = "1.0.0"

//go:embed dist
var files embed.FS

func main() {
	pages, err := fs.Sub(files, "dist")
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(map[string]string{"version": version}); err != nil {
			log.Print(err)
		}
	})
	http.HandleFunc("GET /", func(w http.ResponseWriter, request *http.Request) {
		name := strings.TrimPrefix(request.URL.Path, "/")
		if name == "" {
			name = "index"
		}
		http.ServeFileFS(w, request, pages, name+".html")
	})
	log.Print("listening on port 8080")
	log.Fatal(http.ListenAndServe(":8080", nil))
}
