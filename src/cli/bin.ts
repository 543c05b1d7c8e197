#!/usr/bin/env node
/** The command `shoal`. What it does is in program.ts. */
import { cli } from './program.ts';

await cli(process.argv.slice(2));
