/** A process that a test has started, and what it says. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';

/** Its output, and a way to wait for a line of it. */
export class Running {
  readonly child: ChildProcess;
  stdout = '';
  stderr = '';
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  private readonly lookers = new Set<() => void>();

  constructor(child: ChildProcess) {
    this.child = child;
    this.child.stdout!.setEncoding('utf8').on('data', (text: string) => this.take('stdout', text));
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => this.take('stderr', text));
    this.ended = once(this.child, 'close').then(([code, signal]) => {
      for (const look of this.lookers) look();
      return { code: code as number | null, signal: signal as NodeJS.Signals | null };
    });
  }

  get pid(): number {
    return this.child.pid!;
  }

  get isOver(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  /** Resolves with the match as soon as the output has it; rejects when the process ends without. `from`: of its stderr alone, behind that. */
  said(pattern: RegExp, from?: number): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const match = pattern.exec(from === undefined ? this.stdout + this.stderr : this.stderr.slice(from));
        if (!match && !this.isOver) return;
        this.lookers.delete(look);
        if (match) resolve(match);
        else reject(new Error(`ended without saying ${pattern}:\n${this.stdout}${this.stderr}`));
      };
      this.lookers.add(look);
      look();
    });
  }

  kill(signal: NodeJS.Signals): void {
    if (!this.isOver) process.kill(this.pid, signal);
  }

  private take(stream: 'stdout' | 'stderr', text: string): void {
    this[stream] += text;
    for (const look of this.lookers) look();
  }
}

/** Only where /proc says so. */
export function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}
