// @ts-check
/** Runs a tool; its output is shown only if it fails. */
import { execFile } from 'node:child_process';

const outputBytesMax = 64 << 20;
const linesShown = 40;

/**
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv }} [options]
 * @returns {Promise<string>} what it printed
 */
export function run(command, args, { cwd, env } = {}) {
  return new Promise((resolve, reject) => {
    execFile(command, [...args], { cwd, env: { ...process.env, ...env }, maxBuffer: outputBytesMax }, (error, stdout, stderr) => {
      if (!error) return resolve(stdout);
      const tail = `${stdout}${stderr}`.trim().split('\n').slice(-linesShown).join('\n');
      reject(new Error(`${[command, ...args].join(' ')} ended with ${error.code ?? error.signal ?? error}\n${tail}`));
    });
  });
}
