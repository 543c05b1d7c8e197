/**
 * What a task sees of its attempt. One object a task, and nothing else until the task asks for it: a million tiny tasks
 * must not pay for signals, logs and directories that they never touch.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { format, inspect } from 'node:util';
import type { ExecOptions, Logger, TaskContext } from '../../tasks/context.ts';
import type { Work } from '../executors/executor.ts';
import type { RuntimeOptions, RuntimePort } from './channel.ts';
import { Command } from './exec.ts';
import { attemptLogBytesMax, type LogBuffer } from './logs.ts';

/** What the tasks of one work share. */
export interface TaskSurroundings {
  readonly work: Work;
  readonly port: RuntimePort;
  readonly logs: LogBuffer;
  readonly options: RuntimeOptions;
}

const notePauseMs = 100;

interface Extras {
  controller?: AbortController;
  abortReason?: Error;
  log?: Logger;
  logBytes: number;
  scratch?: Promise<string>;
  commands?: Set<Command>;
  note?: { done: number; total: number | undefined; note: string | undefined };
  noteSentMs: number;
  noteTimer?: NodeJS.Timeout;
  ended: boolean;
}

export class Context implements TaskContext {
  readonly #surroundings: TaskSurroundings;
  readonly #position: number;
  #extras: Extras | undefined;

  constructor(surroundings: TaskSurroundings, position: number) {
    this.#surroundings = surroundings;
    this.#position = position;
  }

  get signal(): AbortSignal {
    const extras = this.#more();
    if (!extras.controller) {
      extras.controller = new AbortController();
      if (extras.abortReason) extras.controller.abort(extras.abortReason);
    }
    return extras.controller.signal;
  }

  get attempt(): number {
    return this.#surroundings.work.attempt;
  }

  get maxAttempts(): number {
    return this.#surroundings.work.attemptsMax;
  }

  get job(): { id: string; name: string } {
    const { job, jobName } = this.#surroundings.work;
    return { id: job, name: jobName };
  }

  get task(): { id: string; name: string; index: number } {
    const { job, stage, definition } = this.#surroundings.work;
    const index = indexAt(this.#surroundings.work.ranges, this.#position);
    return { id: `${job}/${stage}/${index}`, name: definition.name, index };
  }

  get log(): Logger {
    const extras = this.#more();
    extras.log ??= logger((level, message) => writeLog(this, level, message));
    return extras.log;
  }

  // The methods are getters, so that a task may take them out of the context: `({ progress }) => …`.
  get progress(): TaskContext['progress'] {
    return (done, total, note) => this.#progress(done, total, note);
  }

  get scratch(): TaskContext['scratch'] {
    return () => this.#scratch();
  }

  get exec(): TaskContext['exec'] {
    return (command, args, options = {}) => this.#exec(command, args, options);
  }

  #progress(done: number, total: number | undefined, note: string | undefined): void {
    const extras = this.#more();
    if (extras.ended) return;
    // Whatever it was given has to survive the way to the coordinator.
    extras.note = { done: numberOf(done) ?? 0, total: numberOf(total), note: textOf(note) };
    const waitMs = extras.noteSentMs + notePauseMs - performance.now();
    if (waitMs <= 0) this.#sendNote(extras);
    else extras.noteTimer ??= setTimeout(() => this.#sendNote(extras), waitMs).unref();
  }

  #sendNote(extras: Extras): void {
    clearTimeout(extras.noteTimer);
    delete extras.noteTimer;
    if (!extras.note) return;
    const { work, port } = this.#surroundings;
    port.send({ kind: 'note', work: work.id, position: this.#position, ...extras.note });
    delete extras.note;
    extras.noteSentMs = performance.now();
  }

  #scratch(): Promise<string> {
    const extras = this.#more();
    if (extras.ended) return Promise.reject(new Error('this attempt has ended: its directory is gone'));
    extras.scratch ??= this.#makeScratch();
    return extras.scratch;
  }

  async #makeScratch(): Promise<string> {
    const { port, options } = this.#surroundings;
    const path = await mkdtemp(join(tmpdir(), `shoal-${options.name.replace(/[^\w.-]/g, '_')}-`));
    port.send({ kind: 'holds', what: 'directory', name: path, held: true });
    return path;
  }

  async #exec(command: string, args: readonly string[], options: ExecOptions): Promise<{ stdout: string; stderr: string }> {
    const { signal } = this;
    signal.throwIfAborted();
    const extras = this.#more();
    if (extras.ended) throw new Error(`this attempt has ended: ${command} is not started`);
    const { port, options: runtime } = this.#surroundings;
    const running = new Command(port, runtime.graceMs, command, args, options);
    extras.commands ??= new Set();
    extras.commands.add(running);
    const stop = () => running.stop(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
    try {
      return await running.output;
    } finally {
      signal.removeEventListener('abort', stop);
      extras.commands.delete(running);
    }
  }

  #more(): Extras {
    this.#extras ??= { logBytes: 0, noteSentMs: Number.NEGATIVE_INFINITY, ended: false };
    return this.#extras;
  }

  static positionOf(context: Context): number {
    return context.#position;
  }

  static workOf(context: Context): Work {
    return context.#surroundings.work;
  }

  static abort(context: Context, reason: Error): void {
    const extras = context.#more();
    extras.abortReason ??= reason;
    extras.controller?.abort(extras.abortReason);
  }

  /** The attempt is over: its last note is sent, its commands and its directory go. A promise only where there is something to wait for. */
  static end(context: Context): Promise<void> | undefined {
    const extras = context.#extras;
    if (!extras) return undefined;
    extras.ended = true;
    context.#sendNote(extras);
    return extras.commands?.size || extras.scratch ? context.#clear(extras) : undefined;
  }

  async #clear(extras: Extras): Promise<void> {
    const commands = [...(extras.commands ?? [])];
    const { scratch } = extras;
    delete extras.scratch;
    for (const command of commands) command.stop(new Error('the attempt that started the command has ended'));
    await Promise.all(commands.map(({ ended }) => ended));
    // A directory that could not be made is nothing to remove; the task saw the error.
    const path = await scratch?.catch(() => undefined);
    if (path === undefined) return;
    await rm(path, { recursive: true, force: true, maxRetries: 3 });
    this.#surroundings.port.send({ kind: 'holds', what: 'directory', name: path, held: false });
  }

  static hasLoggedAll(context: Context): boolean {
    return (context.#extras?.logBytes ?? 0) > attemptLogBytesMax;
  }

  static writeLog(context: Context, level: string, message: string): void {
    const extras = context.#more();
    if (extras.logBytes > attemptLogBytesMax) return;
    const left = attemptLogBytesMax - extras.logBytes;
    extras.logBytes += message.length + 1;
    context.#log(level, message.length > left ? message.slice(0, left) : message);
    if (extras.logBytes > attemptLogBytesMax)
      context.#log('warn', `truncated: this attempt has logged more than ${attemptLogBytesMax} characters`);
  }

  #log(level: string, message: string): void {
    const { work, logs } = this.#surroundings;
    const { job, stage, attempt, definition, ranges } = work;
    const index = indexAt(ranges, this.#position);
    logs.write({ wallMs: Date.now(), job, stage, index, attempt, task: definition.name, level, message });
  }
}

export const { positionOf, workOf, abort: abortContext, end: endContext, hasLoggedAll, writeLog } = Context;

function logger(write: (level: string, message: string) => void): Logger {
  const at =
    (level: string) =>
    (message: string, ...rest: unknown[]) =>
      write(level, [message, ...rest.map(fieldsText)].join(' '));
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

/** An object's as `key=value`; whoever logs as with `console` finds the rest as it is. */
function fieldsText(fields: unknown): string {
  if (typeof fields !== 'object' || fields === null || Array.isArray(fields) || fields instanceof Error) return format(fields);
  return Object.entries(fields)
    .map(
      ([key, value]) => `${key}=${typeof value === 'string' ? value : inspect(value, { breakLength: Number.POSITIVE_INFINITY, depth: 4 })}`,
    )
    .join(' ');
}

function numberOf(given: unknown): number | undefined {
  if (given === undefined || given === null) return undefined;
  try {
    const number = Number(given);
    return Number.isFinite(number) ? number : undefined;
  } catch {
    return undefined;
  }
}

function textOf(given: unknown): string | undefined {
  if (given === undefined || given === null) return undefined;
  try {
    return String(given);
  } catch {
    return inspect(given);
  }
}

/** The index in the stage of a position in the work. */
export function indexAt(ranges: Uint32Array, position: number): number {
  let left = position;
  for (let i = 0; i < ranges.length; i += 2) {
    const count = ranges[i + 1]!;
    if (left < count) return ranges[i]! + left;
    left -= count;
  }
  throw new RangeError(`position ${position} is outside of its work`);
}
