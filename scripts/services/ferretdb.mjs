// @ts-check
/**
 * FerretDB 1.x, through Go's module proxy. `go install` of its command builds a program that ends at once, because the
 * module lacks a file that its own builds generate; so this builds the package that it offers to programs like this.
 */
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { run, which } from './run.mjs';

const program = `package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: os.Args[1]},
		Handler:   "sqlite",
		SQLiteURL: os.Args[2],
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := server.Run(ctx); err != nil {
		log.Fatal(err)
	}
}
`;

/**
 * @param {string} home
 * @param {string} version
 */
export function ferretdbInstall(home, version) {
  if (!which('go')) throw new Error('it is built with Go 1.23 or later, and there is no go here');
  mkdirSync(dirname(home), { recursive: true });
  const folder = mkdtempSync(`${home}.part-`);
  try {
    const module = `github.com/FerretDB/FerretDB v${version}`;
    writeFileSync(join(folder, 'go.mod'), `module shoal/services\n\ngo 1.23\n\nrequire ${module}\n`);
    writeFileSync(join(folder, 'main.go'), program);
    run('go', ['mod', 'tidy'], { cwd: folder });
    mkdirSync(join(folder, 'built'));
    run('go', ['build', '-trimpath', '-o', join('built', 'ferretdb'), '.'], { cwd: folder });
    renameSync(join(folder, 'built'), home);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
