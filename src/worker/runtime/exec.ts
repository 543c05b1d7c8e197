/**
 * `ctx.exec`: a command without a shell, as the leader of a process group of its own, so that what it started in turn
 * ends with it. The group gets SIGTERM when the signal aborts or the attempt ends, SIGKILL after the grace, and SIGKILL
 * at the leader's exit, for what it left behind.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { StringDecoder } from 'node:string_decoder';
import { ShoalError } from '../../lib/errors.ts';
import type { ExecOptions } from '../../tasks/context.ts';
import type { RuntimePort } from './channel.ts';

const outputBytesMax = 64 * 1024 * 1024;
const tailChars = 2000;
/** What left the group may hold the pipes open after the command's exit; it is not waited for longer. */
const drainMs = 1000;

/** SH2101: the command could not be started, or ended with another exit code than 0. */
class CommandError extends ShoalError {
  override readonly name = 'CommandError';
  readonly exitCode: number | undefined;
  readonly signal: string | undefined;
  readonly stdout: string;
  readonly stderr: string;

  constructor(
    message: string,
    how: { exitCode?: number; signal?: string; stdout?: string; stderr?: string; hint?: string; cause?: unknown },
  ) {
    super('SH2101', message, { hint: how.hint, cause: how.cause });
    this.exitCode = how.exitCode;
    this.signal = how.signal;
    this.stdout = how.stdout ?? '';
    this.stderr = how.stderr ?? '';
  }
}

export class Command {
  readonly output: Promise<{ stdout: string; stderr: string }>;
  /** Settles when the group is gone, and never rejects. */
  readonly ended: Promise<void>;
  private readonly child: ChildProcess;
  private readonly name: string;
  private readonly port: RuntimePort;
  private readonly graceMs: number;
  private readonly onLine: ((line: string) => void) | undefined;
  private stopped: unknown;

  constructor(port: RuntimePort, graceMs: number, command: string, args: readonly string[], options: ExecOptions) {
    this.name = command;
    this.port = port;
    this.graceMs = graceMs;
    this.onLine = options.onLine;
    // A group of its own: detached means setsid here, not that it may outlive the attempt.
    this.child = spawn(command, args, { cwd: options.cwd, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    this.hold(true);
    const stdout = this.collect('stdout');
    const stderr = this.collect('stderr');
    const exit = this.exit();
    this.ended = exit.then(
      () => undefined,
      () => undefined,
    );
    this.output = exit.then(
      ({ code, signal }) => this.judge(code, signal, stdout(), stderr()),
      (cause: unknown) => Promise.reject(this.startError(cause, options.cwd)),
    );
    // A task may start a command and never look at it; its attempt ends it all the same.
    this.output.catch(() => undefined);
  }

  /** Ends the group; the output rejects with `reason`, unless it had settled. */
  stop(reason: unknown): void {
    if (this.stopped !== undefined) return;
    this.stopped = reason;
    this.signal('SIGTERM');
    const timer = setTimeout(() => this.signal('SIGKILL'), this.graceMs);
    void this.ended.then(() => clearTimeout(timer));
  }

  private exit(): Promise<{ code: number | null; signal: string | null }> {
    const { child } = this;
    return new Promise((resolve, reject) => {
      child.once('error', (error) => {
        if (child.pid === undefined) reject(error);
      });
      child.once('exit', (code, signal) => {
        this.signal('SIGKILL');
        this.hold(false);
        const timer = setTimeout(() => {
          child.stdout?.destroy();
          child.stderr?.destroy();
        }, drainMs);
        child.once('close', () => {
          clearTimeout(timer);
          resolve({ code, signal });
        });
      });
    });
  }

  private judge(code: number | null, signal: string | null, stdout: string, stderr: string): { stdout: string; stderr: string } {
    if (this.stopped !== undefined) throw this.stopped;
    if (code === 0) return { stdout, stderr };
    const how = signal === null ? `ended with exit code ${code}` : `was ended by ${signal}`;
    const tail = stderr.trim().slice(-tailChars);
    throw new CommandError(`the command ${this.name} ${how}${tail ? `: ${tail}` : ''}`, {
      ...(code === null ? {} : { exitCode: code }),
      ...(signal === null ? {} : { signal }),
      stdout,
      stderr,
    });
  }

  private startError(cause: unknown, cwd: string | undefined): unknown {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') return cause;
    if (cwd !== undefined && !existsSync(cwd))
      return new CommandError(`the command ${this.name} can't start in ${cwd}: there is no such directory`, { cause });
    return new CommandError(`the command ${this.name} was not found on this worker`, {
      hint: 'install it there, or give its whole path',
      cause,
    });
  }

  /** Reads one of the two outputs; what is returned gives the text in the end. */
  private collect(which: 'stdout' | 'stderr'): () => string {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const decoder = new StringDecoder('utf8');
    let line = '';
    const tell = (text: string): void => {
      if (!this.onLine) return;
      const lines = (line + text).split('\n');
      line = lines.pop()!;
      for (const each of lines) this.tellLine(each.endsWith('\r') ? each.slice(0, -1) : each);
    };
    this.child[which]?.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > outputBytesMax) {
        // Half of an output is worse than none: it looks like all of it.
        this.stop(new CommandError(`the command ${this.name} wrote more than ${outputBytesMax} bytes to ${which}`, {}));
        return;
      }
      chunks.push(chunk);
      tell(decoder.write(chunk));
    });
    this.child[which]?.on('end', () => {
      tell(decoder.end());
      if (line !== '') this.tellLine(line);
    });
    return () => Buffer.concat(chunks).toString();
  }

  private tellLine(line: string): void {
    try {
      this.onLine?.(line);
    } catch (error) {
      this.stop(error);
    }
  }

  private signal(name: NodeJS.Signals): void {
    if (this.child.pid === undefined) return;
    try {
      process.kill(-this.child.pid, name);
    } catch {
      // The group is gone.
    }
  }

  /** The host clears the group away if this thread is terminated before it could. */
  private hold(held: boolean): void {
    if (this.child.pid !== undefined) this.port.send({ kind: 'holds', what: 'group', name: String(this.child.pid), held });
  }
}
