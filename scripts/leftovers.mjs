// @ts-check
/**
 * What a test run leaves behind: files in the checkout, folders of ours in the temporary directory, processes that run
 * our code or a server for it, ports, shared memory, networks. Judged in CI only, where nobody else works in the same places at
 * the same time.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as later } from 'node:timers/promises';
import { serverPorts } from './servers/server.mjs';

/** What was told to end may need a moment for it. */
const patienceMs = 10_000;

/**
 * @param {string} root
 * @returns {string[]}
 */
export function tracesIn(root) {
  const changed = execFileSync('git', ['status', '--porcelain'], { cwd: root, encoding: 'utf8' }).split('\n').filter(Boolean);
  const folders = readdirSync(tmpdir()).filter((name) => name.startsWith('shoal-'));
  return [...changed, ...folders.map((name) => join(tmpdir(), name)), ...processesOf(root), ...ports(), ...sharedMemory(), ...networks()];
}

/**
 * @param {string} root
 * @param {readonly string[]} before
 * @returns {Promise<string[]>} what wasn't there before
 */
export async function newTracesIn(root, before) {
  const deadlineMs = performance.now() + patienceMs;
  for (;;) {
    const traces = tracesIn(root).filter((trace) => !before.includes(trace));
    if (traces.length === 0 || performance.now() > deadlineMs) return traces;
    await later(100);
  }
}

/**
 * By its command, its working directory or its environment: a server's children forget some of them, none all. Only
 * where /proc says so; elsewhere none are seen.
 * @param {string} root
 */
function processesOf(root) {
  /** @type {string[]} */
  let ids = [];
  try {
    ids = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid);
  } catch {}
  const ours = [`${root}dist/`, join(tmpdir(), 'shoal-')];
  return ids.flatMap((id) => {
    try {
      const command = readFileSync(`/proc/${id}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
      const all = `${command}\n${readlinkSync(`/proc/${id}/cwd`)}\n${readFileSync(`/proc/${id}/environ`, 'utf8')}`;
      return ours.some((place) => all.includes(place)) ? [`process ${id}: ${command}`] : [];
    } catch {
      return []; // Ended while we looked, or not ours to look at.
    }
  });
}

/** Those that somebody listens to, among the ones that tests' servers get. */
function ports() {
  return [...linesOf('/proc/net/tcp'), ...linesOf('/proc/net/tcp6')].flatMap(([, local, , state]) => {
    const port = Number.parseInt(local?.split(':')[1] ?? '', 16);
    return state === '0A' && port >= serverPorts.from && port < serverPorts.to ? [`port ${port}`] : [];
  });
}

/** PostgreSQL's, when it is killed. */
const sharedMemory = () => linesOf('/proc/sysvipc/shm').map(([, id]) => `shared memory ${id}`);

/** Namespaces, and what leads into them. */
function networks() {
  const namespaces = namesIn('/run/netns').filter((name) => /^shoal\d/.test(name));
  const links = namesIn('/sys/class/net').filter((name) => /^(shoal|s)\d+/.test(name));
  return [...namespaces.map((name) => `network namespace ${name}`), ...links.map((name) => `network interface ${name}`)];
}

/** @param {string} folder */
function namesIn(folder) {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** @param {string} file one of /proc's tables, under a line of titles */
function linesOf(file) {
  try {
    const lines = readFileSync(file, 'utf8').trim().split('\n').slice(1);
    return lines.map((line) => line.trim().split(/\s+/));
  } catch {
    return [];
  }
}
