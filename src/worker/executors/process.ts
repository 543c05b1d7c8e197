/**
 * A slot in a child process: for tasks that may abort natively, leak, or start what must die with them. The child leads
 * a process group of its own, which is ended as a whole.
 *
 * Marks come through a file without a name (see runtime/board.ts): it tells what the child ran also after `kill -9`.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { closeSync, ftruncateSync, openSync, readSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { entryUrl } from '../../lib/entry.ts';
import { takeVerdict } from '../memory-guard.ts';
import { lanesMax, markBytes, readMarks } from '../runtime/board.ts';
import type { FromRuntime, RuntimeOptions } from '../runtime/channel.ts';
import { withoutInput } from './exec-argv.ts';
import type { ErrorRecord, Executor, ExecutorOptions } from './executor.ts';
import { Host } from './host.ts';
import { sourceMapsEnabled } from './source-maps.ts';
import { crashRecord, type Vessel, type VesselEvents } from './vessel.ts';

export function processExecutor(options: ExecutorOptions): Executor {
  return new Host(options, (events) => launchChild(options, events));
}

/** Enough to recognise V8's words on a full heap. */
const stderrTailChars = 4096;
/** How long a dead child's stderr is waited for: what it started may hold it open. */
const stderrWaitMs = 100;

function launchChild({ name, graceMs, heapMiB, modules, sourceMaps }: ExecutorOptions, events: VesselEvents): Vessel {
  const marks = new MarksFile();
  const options: RuntimeOptions = { name, graceMs, ...(modules && { modules }) };
  let child: ChildProcess;
  try {
    child = fork(fileURLToPath(entryUrl(import.meta.url, '../runtime/process-entry.ts')), [JSON.stringify(options)], {
      serialization: 'advanced',
      execArgv: execArgv(heapMiB, sourceMaps === true),
      detached: true,
      stdio: ['ignore', 'inherit', 'pipe', 'ipc', marks.file],
    });
  } catch (error) {
    marks.close();
    throw error;
  }
  let tail = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    process.stderr.write(chunk);
    tail = (tail + chunk.toString()).slice(-stderrTailChars);
  });
  let isHeld = true;
  const hold = (busy: boolean): void => {
    if (busy === isHeld) return;
    isHeld = busy;
    const stderr = child.stderr as { ref?(): void; unref?(): void } | null;
    for (const each of [child, child.channel, stderr]) busy ? each?.ref?.() : each?.unref?.();
  };
  hold(false);

  let isKilled = false;
  child.on('message', (message) => events.message(message as FromRuntime));
  const gone = new Promise<void>((resolve) => {
    const end = (how: string, error: ErrorRecord): void => {
      signalGroup(child, 'SIGKILL');
      if (!isKilled) events.died(how, error);
      marks.close();
      resolve();
    };
    child.once('error', (error) => {
      if (child.pid === undefined) end('exit', crashRecord(`no child process could be started: ${error.message}`));
    });
    child.once('exit', (code, signal) => {
      const tell = (): void => {
        clearTimeout(timer);
        end(...(forMemory(child.pid) ?? causeOfDeath(code, signal, tail, heapMiB)));
      };
      const timer = setTimeout(tell, stderrWaitMs);
      if (isKilled || !child.stderr || child.stderr.closed) tell();
      else child.stderr.once('close', tell);
    });
  });
  return {
    shared: undefined,
    // A child that is gone is told by its exit.
    post: (message) => void child.send(message, () => undefined),
    marksOf: (work, lanes) => marks.read(work, lanes),
    hold,
    async kill() {
      isKilled = true;
      signalGroup(child, 'SIGTERM');
      const timer = setTimeout(() => signalGroup(child, 'SIGKILL'), graceMs);
      await gone;
      clearTimeout(timer);
    },
  };
}

/** Ended by this worker's own memory guard? */
function forMemory(pid: number | undefined): [how: string, error: ErrorRecord] | undefined {
  const why = pid === undefined ? undefined : takeVerdict(pid);
  return why === undefined ? undefined : ['out-of-memory', crashRecord(`the task's process was ended: ${why}`)];
}

function causeOfDeath(
  code: number | null,
  signal: string | null,
  stderr: string,
  heapMiB: number | undefined,
): [how: string, error: ErrorRecord] {
  if (/heap out of memory|Reached heap limit/.test(stderr)) {
    const limit = heapMiB === undefined ? 'its heap limit' : `its heap limit of ${heapMiB} MiB`;
    return ['out-of-memory', crashRecord(`the task's process reached ${limit}`)];
  }
  if (signal === null) return ['exit', crashRecord(`the task's process ended with exit code ${code}`)];
  const perhaps = signal === 'SIGKILL' ? ', perhaps by the system for lack of memory' : '';
  return ['signal', crashRecord(`the task's process was ended by ${signal}${perhaps}`)];
}

function execArgv(heapMiB: number | undefined, sourceMaps: boolean): string[] {
  // A second process can't have the same debugger port.
  const inherited = withoutInput(process.execArgv).filter((flag) => !flag.startsWith('--inspect'));
  if ((sourceMaps || sourceMapsEnabled()) && !inherited.includes('--enable-source-maps')) inherited.push('--enable-source-maps');
  return heapMiB === undefined ? inherited : [...inherited, `--max-old-space-size=${heapMiB}`];
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // The group is gone.
  }
}

class MarksFile {
  private static made = 0;
  readonly file: number;
  private isOpen = true;
  private readonly bytes = new Uint8Array(lanesMax * markBytes);
  private readonly numbers = new Int32Array(this.bytes.buffer);
  private readonly times = new Float64Array(this.bytes.buffer);

  constructor() {
    const path = join(tmpdir(), `shoal-marks-${process.pid}-${++MarksFile.made}`);
    this.file = openSync(path, 'wx+', 0o600);
    unlinkSync(path);
    ftruncateSync(this.file, this.bytes.length);
  }

  read(work: number, lanes: number) {
    if (this.isOpen) readSync(this.file, this.bytes, 0, Math.min(lanes, lanesMax) * markBytes, 0);
    return readMarks(this.numbers, this.times, work, lanes);
  }

  close(): void {
    if (this.isOpen) closeSync(this.file);
    this.isOpen = false;
  }
}
