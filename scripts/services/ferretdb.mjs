// @ts-check
/**
 * FerretDB 1.x, through Go's module proxy. `go install` of its command builds a program that ends at once, because the
 * module lacks a file that its own builds generate; so this builds the package that it offers to programs like this.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { place } from './place.mjs';
import { run } from './run.mjs';

/** It fetches a later one of itself where the module asks for that. */
const goMinorMin = 21;

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
export async function ferretdbInstall(home, version) {
  const found = await run('go', ['version']);
  const [, minor] = /go1\.(\d+)/.exec(found) ?? [];
  if (!(Number(minor) >= goMinorMin)) throw new Error(`it is built with Go 1.23 or later, and this is ${found.trim()}`);
  await place(home, async (workshop) => {
    const module = `github.com/FerretDB/FerretDB v${version}`;
    writeFileSync(join(workshop, 'go.mod'), `module shoal/services\n\ngo 1.23\n\nrequire ${module}\n`);
    writeFileSync(join(workshop, 'main.go'), program);
    mkdirSync(join(workshop, 'made'));
    await run('go', ['build', '-mod=mod', '-trimpath', '-o', join('made', 'ferretdb'), '.'], { cwd: workshop });
  });
}
