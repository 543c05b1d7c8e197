/**
 * A machine of one's own, as far as ports and names go: a network namespace in which every port is free, so that what a
 * page says can be done as it stands. Needs the right to make one.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as later } from 'node:timers/promises';
import { childrenOf, Running } from './running.ts';

export class OwnNetwork {
  readonly #keeper: ChildProcess;
  /** Names the namespace in /proc. */
  readonly #link: string;
  #isClosed = false;

  private constructor(keeper: ChildProcess) {
    this.#keeper = keeper;
    this.#link = readlinkSync(`/proc/${keeper.pid}/ns/net`);
  }

  /** `names` are this machine's in there. Rejects with the reason where there is no right to. */
  static async open(folder: string, names: readonly string[]): Promise<OwnNetwork> {
    const hosts = join(folder, 'hosts');
    writeFileSync(hosts, `127.0.0.1 ${['localhost', ...names].join(' ')}\n`);
    // It ends with our end of its pipe, whatever ends us.
    const script = 'ip link set lo up && mount --bind "$0" /etc/hosts && echo open && exec cat';
    const keeper = spawn('unshare', ['--net', '--mount', 'sh', '-c', script, hosts], { stdio: ['pipe', 'pipe', 'pipe'] });
    let text = '';
    for (const stream of [keeper.stdout, keeper.stderr]) stream.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    await Promise.race([once(keeper.stdout, 'data'), once(keeper, 'close')]);
    if (text.startsWith('open')) return new OwnNetwork(keeper);
    keeper.kill('SIGKILL');
    throw new Error(text.trim());
  }

  /** A line as it is typed into a shell of a terminal of its own. */
  type(line: string, cwd: string, env: NodeJS.ProcessEnv): Running {
    // A test that has taken too long goes on behind our back.
    if (this.#isClosed) throw new Error('this network is closed');
    const args = ['--target', String(this.#keeper.pid), '--net', '--mount', `--wd=${cwd}`, 'sh', '-c', line];
    // A group of its own, which is what Ctrl-C reaches.
    return new Running(spawn('nsenter', args, { env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] }));
  }

  /** What runs in there. */
  processes(): number[] {
    const ids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
    return ids.map(Number).filter((pid) => pid !== this.#keeper.pid && networkOf(pid) === this.#link);
  }

  /** Ends all that runs in there. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (let pids = this.processes(); pids.length > 0; pids = this.processes()) {
      for (const pid of pids) killNow(pid);
      await later(20);
    }
    this.#keeper.kill('SIGKILL');
  }
}

export function pressCtrlC({ pid }: Running): void {
  process.kill(-pid, 'SIGINT');
}

/** The `shoal` that a typed line has started, behind npx and shells; undefined before. */
export function shoalOf({ pid }: Running): number | undefined {
  const reached = [pid];
  for (const each of reached) {
    if (/\.bin\/shoal\0/.test(commandOf(each))) return each;
    reached.push(...childrenOf(each));
  }
  return undefined;
}

/** Milliseconds of a core that a process has had, all its threads together. */
export function cpuMsOf(pid: number): number {
  // Behind the name, which may have blanks: the state, ..., user and system time in hundredths of a second.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}

function networkOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return undefined; // Ended while we looked, or not ours to look at.
  }
}

function killNow(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It is gone.
  }
}
