// @ts-check
/** The processes of a server: its group, and descendants that left it (PostgreSQL's and Erlang's children do). */
import { readdirSync, readFileSync } from 'node:fs';

/**
 * @param {number} root
 * @returns {number[]} the root alone where there is no /proc
 */
export function familyOf(root) {
  const all = processes();
  if (all.length === 0) return isGone(root) ? [] : [root];
  const family = new Set(all.filter(({ pid, group }) => pid === root || group === root).map(({ pid }) => pid));
  for (let before = -1; before < family.size; ) {
    before = family.size;
    for (const { pid, parent } of all) if (family.has(parent)) family.add(pid);
  }
  return [...family];
}

/** @param {number} pid */
export function isGone(pid) {
  try {
    process.kill(pid, 0);
    return stateOf(pid)?.state === 'Z';
  } catch {
    return true;
  }
}

/**
 * SIGSTOP takes its time on a busy machine.
 * @param {number} pid
 */
export const isHalted = (pid) => isGone(pid) || (stateOf(pid)?.state ?? 'T') === 'T';

/**
 * @param {readonly number[]} pids
 * @param {NodeJS.Signals} signal
 */
export function signalAll(pids, signal) {
  for (const pid of pids) {
    try {
      process.kill(pid, signal);
    } catch {} // It ended by itself.
  }
}

function processes() {
  /** @type {string[]} */
  let names = [];
  try {
    names = readdirSync('/proc');
  } catch {}
  return names.flatMap((name) => {
    const state = /^\d+$/.test(name) ? stateOf(Number(name)) : undefined;
    return state && state.state !== 'Z' ? [{ pid: Number(name), ...state }] : [];
  });
}

/** @param {number} pid */
function stateOf(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name, in parentheses, may hold anything.
    const [state, parent, group] = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { state, parent: Number(parent), group: Number(group) };
  } catch {
    return undefined;
  }
}
