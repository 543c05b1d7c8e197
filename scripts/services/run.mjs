// @ts-check
/** Runs a tool; its output is shown only if it fails. */
import { spawnSync } from 'node:child_process';
import { find } from '../servers/where.mjs';

/**
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv }} [options]
 */
export function run(command, args, { cwd, env } = {}) {
  const ran = spawnSync(command, args, { cwd, env: { ...process.env, ...env }, encoding: 'utf8', maxBuffer: 64 << 20 });
  if (ran.status === 0) return;
  const output = `${ran.stdout ?? ''}${ran.stderr ?? ''}`.trim().split('\n').slice(-40).join('\n');
  throw new Error(`${[command, ...args].join(' ')} ended with ${ran.status ?? ran.signal ?? ran.error}\n${output}`);
}

/** @param {string} program */
export const which = (program) => 'path' in find('', program);
