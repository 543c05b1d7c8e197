/**
 * Waiting for a job of a cluster: `shoal jobs watch`, `result` and `logs`. The job goes on whatever happens here.
 *
 * 1. stdout has the job's results, log lines or last view; progress and errors are on stderr.
 * 2. Results are read as fast as stdout takes them, and never held all at once.
 */
import { once } from 'node:events';
import { constants } from 'node:os';
import { OneValue, readOne } from '../../client/collect.ts';
import type { Codecs } from '../../client/delivery.ts';
import { jobViews } from '../../client/progress.ts';
import { nothing, ResultStream } from '../../client/result-stream.ts';
import { jobError, TaskError } from '../../client/task-error.ts';
import { codecNamed } from '../../codecs/named.ts';
import type { JobView } from '../../core/answers.ts';
import type { LogLine } from '../../core/messages.ts';
import { ShoalError } from '../../lib/errors.ts';
import { createProgress, type ProgressMode } from '../../lib/progress-bar.ts';
import { jsonText } from '../json-text.ts';
import { logPrinter } from '../printers.ts';
import { report } from '../report.ts';
import { type Admin, type AdminFlags, findJob } from './cluster.ts';
import { span } from './output.ts';
import { plainValue } from './values.ts';

/** Ends with the job's own exit code. */
export async function watch(admin: Admin, name: string, flags: AdminFlags & { progress: ProgressMode }): Promise<void> {
  const found = await findJob(admin, name);
  const detach = detachOnSignal(found.job, flags);
  const mode = flags.quiet || (flags.json && flags.progress === 'auto') ? 'none' : flags.progress;
  await followProgress(admin, found, mode, flags, true);
  const view = await admin.connection.ended(found.job);
  detach();
  if (flags.json) admin.output.give(view, () => undefined);
  const error = jobError(view);
  if (error) report(error, { json: flags.json === true, color: flags.color });
  else admin.output.note(endOf(view));
  process.exitCode = error ? 1 : view.failed > 0 ? 5 : 0;
}

function endOf({ name, job, succeeded, failed, createdWallMs, endedWallMs = createdWallMs }: JobView): string {
  const failures = failed === 0 ? '' : `, ${failed} failed as it may`;
  return `${name} (${job}) has succeeded: ${succeeded} done${failures}, after ${span(endedWallMs - createdWallMs)}`;
}

function followProgress(
  { connection }: Admin,
  { job, name }: JobView,
  mode: ProgressMode,
  { color }: AdminFlags,
  isAsked: boolean,
): Promise<void> {
  return createProgress({ mode, color }).follow(name, jobViews(connection, job, 500), isAsked);
}

/** Who stops watching stops nothing else. Gives what takes it back. */
function detachOnSignal(job: string, { json, quiet }: AdminFlags): () => void {
  const onSignal = (signal: NodeJS.Signals): void => {
    if (!quiet && !json) process.stderr.write(`\nshoal: the job goes on; watch it again: shoal jobs watch ${job}\n`);
    process.exit(128 + constants.signals[signal]);
  };
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
  return () => void process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
}

// ---- results ----

export async function result(admin: Admin, name: string, flags: AdminFlags & { timeout?: number }): Promise<void> {
  const found = await findJob(admin, name);
  const detach = detachOnSignal(found.job, flags);
  const codecs = codecsOf(found);
  const isOver = found.endedWallMs !== undefined;
  const progress = isOver ? undefined : followProgress(admin, found, flags.quiet || flags.json ? 'none' : 'auto', flags, false);
  const writing = found.output?.take === 'all' ? writeAll(admin, found, codecs) : writeOne(admin, found, codecs);
  await (flags.timeout === undefined ? writing : withinTime(writing, found, flags.timeout));
  await progress;
  detach();
}

/** SH1413 for a codec that only the program has. */
function codecsOf({ name, output }: JobView): Codecs {
  const codec = codecNamed(output?.definition?.codec);
  if (codec) return { output: codec, input: codec };
  throw new ShoalError('SH1413', `${name}: its results can't be shown`, {
    why: `they are written with the codec "${output?.definition?.codec}", which only a program can bring`,
    hint: 'read them in a program that defines the task',
  });
}

const chunkCharacters = 64 * 1024;

/** In the order of the inputs; what failed is left out, and tells by the exit code. */
async function writeAll({ connection }: Admin, { job }: JobView, codecs: Codecs): Promise<void> {
  const lines = new LineWriter();
  const values = new ResultStream<unknown>({
    connection,
    job,
    codecs,
    order: 'input',
    inputs: false,
    value: (cursor) => cursor.value(),
    failure: () => Promise.resolve(nothing),
    // Before the reader closes, with which the job may go.
    rest: async () => {
      const view = await connection.request<JobView>({ kind: 'query', job });
      const error = jobError(view);
      if (error) throw error;
      if (view.failed > 0) process.exitCode = 5;
      return [];
    },
    taken: () => undefined,
  });
  for await (const value of values) {
    const full = lines.add(jsonText(plainValue(value)));
    if (full) await full;
  }
  await lines.flush();
}

async function writeOne({ connection }: Admin, { job, name }: JobView, codecs: Codecs): Promise<void> {
  const one = new OneValue(codecs, async (failure) => {
    const error = jobError(await connection.request<JobView>({ kind: 'query', job }));
    throw error ?? (failure ? new TaskError(job, failure) : noValue(name));
  });
  const value = await readOne(connection, job, one);
  process.stdout.write(`${jsonText(plainValue(value))}\n`);
}

function noValue(name: string): ShoalError {
  return new ShoalError('SH1407', `${name}: the job ended without a value`, {
    why: 'a task that its result depends on failed, and maxFailures tolerated that',
  });
}

async function withinTime(writing: Promise<void>, { job, name }: JobView, timeoutMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    const hint = `shoal explain ${job}`;
    const error = new ShoalError('SH1405', `${name}: no result after ${timeoutMs / 1000} s; the job goes on`, { hint });
    timer = setTimeout(() => reject(error), timeoutMs);
  });
  writing.catch(() => undefined);
  await Promise.race([writing, late]).finally(() => clearTimeout(timer));
}

/** Many short lines as few writes: at once where nothing more is at hand. */
class LineWriter {
  private text = '';
  private soon: NodeJS.Immediate | undefined;

  /** A promise where the reader of stdout is behind. */
  add(line: string): Promise<void> | undefined {
    this.text += `${line}\n`;
    if (this.text.length >= chunkCharacters) return this.flush();
    this.soon ??= setImmediate(() => void this.flush());
    return undefined;
  }

  async flush(): Promise<void> {
    clearImmediate(this.soon);
    this.soon = undefined;
    const { text } = this;
    this.text = '';
    if (text !== '' && !process.stdout.write(text)) await once(process.stdout, 'drain');
  }
}

// ---- logs ----

export async function logs(admin: Admin, name: string, flags: AdminFlags & { follow?: boolean }): Promise<void> {
  const found = await findJob(admin, name);
  const { job } = found;
  const detach = flags.follow ? detachOnSignal(job, flags) : () => undefined;
  const print = flags.json ? printJson : printerForPeople(flags);
  let count = 0;
  await new Promise<void>((resolve, reject) => {
    const sink = {
      lines(lines: readonly LogLine[]) {
        count += lines.length;
        lines.forEach(print);
      },
      end: (error: ShoalError | undefined) => (error ? reject(error) : resolve()),
    };
    admin.connection.readLogs(job, sink, flags.follow === true);
  });
  detach();
  const isWhole = flags.follow === true || found.endedWallMs !== undefined;
  if (count === 0) admin.output.note(`there are no lines: its tasks ${isWhole ? 'printed nothing' : 'have printed nothing so far'}`);
}

function printJson({ wallMs, ...line }: LogLine): void {
  process.stdout.write(`${jsonText({ time: new Date(wallMs).toISOString(), ...line })}\n`);
}

/** As `run` and `submit` show them, but on stdout: here they are what was asked for. */
function printerForPeople(flags: AdminFlags): (line: LogLine) => void {
  const terminal = { print: (text: string) => void process.stdout.write(`${text}\n`) };
  return logPrinter({ terminal } as Parameters<typeof logPrinter>[0], { color: flags.color });
}
