// @ts-check
/**
 * A real server for tests and benches: on a free port of 127.0.0.1, with a folder of its own, ready when it gave its
 * first answer in its own protocol. What is particular to a server is in its file beside this one.
 *
 * Nothing outlives the process that started it. A guard (guard.mjs) waits for the end of that process, however it
 * comes, `kill -9` included; it ends what is left and removes the folder.
 */
import { spawn } from 'node:child_process';
import { appendFileSync, chmodSync, closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as later } from 'node:timers/promises';
import { guard } from './guard.mjs';
import { familyOf, isGone, isHalted, signalAll } from './processes.mjs';

/**
 * @typedef {object} Launch
 * @property {string} command
 * @property {readonly string[]} args
 * @property {NodeJS.ProcessEnv} [env] beside the environment of this process
 * @property {number} [uid]
 * @property {number} [gid]
 *
 * @typedef {{ folder: string, data: string, ports: readonly number[] }} Place
 *
 * @typedef {object} Kind what a server's own file says of it
 * @property {string} name
 * @property {number} [portCount] 1 by default; the first is the one in the URL
 * @property {readonly number[]} [ports] instead of free ones, where companions have to know them beforehand
 * @property {(place: Place) => string} url
 * @property {(place: Place) => void | Promise<void>} [prepare] before the first start, and before one without the old data
 * @property {(place: Place) => Launch} launch
 * @property {(place: Place) => Promise<void>} answers rejects as long as the server isn't ready
 * @property {NodeJS.Signals} [endSignal] its quick end; SIGKILL, unless that would leave something behind
 * @property {NodeJS.Signals} [shutdownSignal] its clean end; SIGTERM by default
 * @property {(place: Place) => void} [tidy] removes what a killed one left outside of its folder
 * @property {number} [startMsMax] 60 s by default
 *
 * @typedef {object} Server
 * @property {string} name
 * @property {string} url
 * @property {number} port
 * @property {readonly number[]} pids all its processes, right now
 * @property {string} folder
 * @property {() => string} log what it wrote since its first start
 * @property {() => Promise<void>} stop ends it and removes all that there is of it
 * @property {() => Promise<void>} kill `kill -9` of all its processes; `restart` brings it back
 * @property {() => Promise<void>} shutdown its clean end; `restart` brings it back
 * @property {() => Promise<void>} pause SIGSTOP of all its processes; resolves when all of them stand
 * @property {() => void} resume
 * @property {(options?: { keepData?: boolean }) => Promise<void>} restart on the same port; a running one is shut down first. It keeps its data, unless told not to
 */

/** Below those that the system gives to outgoing connections, so that nobody takes one while its server is down. */
export const serverPorts = { from: 20_000, to: 32_000 };
const logLinesShown = 30;
const endMsMax = 30_000;

/**
 * @param {Kind} kind
 * @returns {Promise<Server>}
 */
export async function startServer(kind) {
  const folder = mkdtempSync(join(tmpdir(), `shoal-${kind.name}-`));
  // A server that gives up root (PostgreSQL) must reach what is its own.
  chmodSync(folder, 0o755);
  const place = { folder, data: join(folder, 'data'), ports: kind.ports ?? (await freePorts(kind.portCount ?? 1)) };
  const logFile = join(folder, 'log');
  /** @type {import('node:child_process').ChildProcess | undefined} */
  let child;
  /** @type {ReturnType<typeof guard> | undefined} */
  let watch;
  let isStopped = false;
  const pids = () => (child ? familyOf(/** @type {number} */ (child.pid)) : []);
  const log = () => readFileSync(logFile, 'utf8');

  const start = async () => {
    const { command, args, env, uid, gid } = kind.launch(place);
    const output = openSync(logFile, 'a');
    const started = spawn(command, args, {
      cwd: folder,
      env: { ...process.env, ...env },
      stdio: ['ignore', output, output],
      detached: true,
      ...(uid !== undefined && { uid }),
      ...(gid !== undefined && { gid }),
    });
    closeSync(output);
    /** @type {Error | undefined} */
    let spawnError;
    started.on('error', (error) => {
      spawnError = error;
    });
    started.unref();
    if (started.pid !== undefined) {
      child = started;
      watch = guard(started.pid, folder, kind.endSignal ?? 'SIGKILL');
    }
    const deadlineMs = performance.now() + (kind.startMsMax ?? 60_000);
    /** @type {unknown} */
    let silence;
    for (;;) {
      const isOver = started.pid === undefined || started.exitCode !== null || started.signalCode !== null;
      if (isOver || performance.now() > deadlineMs) {
        const what = isOver ? `ended with ${started.exitCode ?? started.signalCode ?? spawnError}` : `gave no answer: ${silence}`;
        throw new Error(`${kind.name}: ${command} ${what}\n${log().split('\n').slice(-logLinesShown).join('\n')}`);
      }
      try {
        return await kind.answers(place);
      } catch (error) {
        silence = error;
        await later(20);
      }
    }
  };

  /** @param {NodeJS.Signals} signal */
  const end = async (signal) => {
    const ended = /** @type {import('node:child_process').ChildProcess} */ (child);
    const root = /** @type {number} */ (ended.pid);
    const family = pids();
    // A zombie still has its number, which PostgreSQL would take for a running postmaster's.
    const isReaped = () => ended.exitCode !== null || ended.signalCode !== null;
    if (signal === 'SIGKILL') signalAll(family, signal);
    else {
      signalAll([root], signal);
      signalAll(family, 'SIGCONT');
    }
    const deadlineMs = performance.now() + endMsMax;
    while (!(isReaped() && family.every(isGone))) {
      // Companions (epmd) end with what they accompany.
      if (isGone(root) || performance.now() > deadlineMs) signalAll(family, 'SIGKILL');
      await later(5);
    }
    child = undefined;
    watch?.dismiss();
  };

  const stop = async () => {
    if (isStopped) return;
    isStopped = true;
    if (child) await end(kind.endSignal ?? 'SIGKILL');
    kind.tidy?.(place);
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  };

  const prepare = async () => {
    rmSync(place.data, { recursive: true, force: true });
    mkdirSync(place.data);
    await kind.prepare?.(place);
  };

  try {
    appendFileSync(logFile, '');
    await prepare();
    await start();
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    name: kind.name,
    url: kind.url(place),
    port: /** @type {number} */ (place.ports[0]),
    folder,
    get pids() {
      return pids();
    },
    log,
    stop,
    async kill() {
      if (child) await end('SIGKILL');
    },
    async shutdown() {
      if (child) await end(kind.shutdownSignal ?? 'SIGTERM');
    },
    async pause() {
      // Until nobody is left who could have been born meanwhile.
      for (let stopped = 0, family = pids(); family.length > stopped; family = pids()) {
        stopped = family.length;
        watch?.know(family);
        signalAll(family, 'SIGSTOP');
        while (!family.every(isHalted)) await later(5);
      }
    },
    resume() {
      signalAll(pids(), 'SIGCONT');
      watch?.know([]);
    },
    async restart({ keepData = true } = {}) {
      if (child) await end(kind.shutdownSignal ?? 'SIGTERM');
      if (!keepData) {
        kind.tidy?.(place);
        await prepare();
      }
      await start();
    },
  };
}

/** @param {number} count */
export async function freePorts(count) {
  /** @type {number[]} */
  const ports = [];
  while (ports.length < count) {
    const port = serverPorts.from + Math.floor(Math.random() * (serverPorts.to - serverPorts.from));
    if (!ports.includes(port) && (await isFree(port))) ports.push(port);
  }
  return ports;
}

/**
 * @param {number} port
 * @returns {Promise<boolean>}
 */
function isFree(port) {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
