// @ts-check
/**
 * Comparisons on a machine that is never quiet: every contender runs in a process of its own, in rounds (A B C, A B C, …),
 * so that a slow minute hits all of them, and medians are compared.
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** A contender that hangs has failed (poolifier did, once in a few hundred trials). */
const trialMsMax = 120_000;

/**
 * @param {import('./contender.mjs').Trial} trial
 * @returns {Promise<Record<string, number>>}
 */
export async function runTrial(trial) {
  const { output } = await runNode([fileURLToPath(new URL('contender.mjs', import.meta.url)), JSON.stringify(trial)]);
  return JSON.parse(output.trim().split('\n').at(-1) ?? '');
}

/**
 * @param {readonly string[]} args
 * @param {(chunk: Buffer) => void} [onOutput]
 * @returns {Promise<{ output: string, errors: string }>}
 */
export function runNode(args, onOutput) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: trialMsMax, killSignal: 'SIGKILL' });
    let output = '';
    let errors = '';
    child.stdout.on('data', (chunk) => {
      onOutput?.(chunk);
      output += chunk;
    });
    child.stderr.on('data', (chunk) => (errors += chunk));
    child.on('error', reject);
    child.on('close', (code, signal) => {
      if (code === 0) resolve({ output, errors });
      else reject(new Error(`${args.join(' ')} ended with ${signal ?? code}\n${errors}`));
    });
  });
}

/**
 * @template {Record<string, () => Promise<Record<string, number>>>} T
 * @param {T} contenders
 * @param {number} rounds
 * @returns {Promise<Record<string, Record<string, number>[]>>}
 */
export async function interleave(contenders, rounds) {
  /** @type {Record<string, Record<string, number>[]>} */
  const seen = Object.fromEntries(Object.keys(contenders).map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const [name, run] of Object.entries(contenders)) {
      process.stderr.write(`round ${round + 1} of ${rounds}: ${name}\n`);
      seen[name]?.push(await run());
    }
  }
  return seen;
}

/** @param {readonly number[]} values */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return (at(sorted, Math.floor(middle)) + at(sorted, Math.ceil(middle))) / 2;
}

/**
 * The median of one measure over all rounds of a contender.
 * @param {readonly Record<string, number>[] | undefined} rounds
 * @param {string} measure
 */
export function medianOf(rounds, measure) {
  return median((rounds ?? []).map((seen) => seen[measure] ?? Number.NaN));
}

/**
 * The median over the rounds of how many times as much one contender shows as the other in the same round.
 * @param {readonly Record<string, number>[] | undefined} one
 * @param {readonly Record<string, number>[] | undefined} other
 * @param {string} measure
 */
export function ratioOf(one, other, measure) {
  return median((one ?? []).map((seen, round) => (seen[measure] ?? Number.NaN) / (other?.[round]?.[measure] ?? Number.NaN)));
}

/**
 * @param {readonly number[]} values
 * @param {number} index
 */
function at(values, index) {
  return values[index] ?? Number.NaN;
}
