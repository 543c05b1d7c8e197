/** How a job's progress is watched: by asking now and then, and by whoever draws it. */
import { setTimeout as pause } from 'node:timers/promises';
import type { JobView } from '../core/answers.ts';
import type { Connection } from './connection.ts';
import { programHook } from './program.ts';
import type { Progress } from './types.ts';

/** Shows a job until its views end. The result of the job is handed out when this resolves, so that lines don't mix. */
export type DrawProgress = (title: string, views: AsyncIterable<JobView>) => void | Promise<void>;

const drawEveryMs = 200;
/** The rate is that of the last ten seconds or so. */
const rateWindowMs = 10_000;

let draw: DrawProgress | undefined;

/** What draws a bar where a map asks for one. */
export function installProgress(fn: DrawProgress | undefined): void {
  draw = fn;
}

/** Starts drawing where that is wanted; resolves when the drawing is through. */
export function startDrawing(connection: Connection, job: string, name: string, title: string | undefined): Promise<void> {
  const hook = programHook();
  if (hook?.progress) return settle(hook.progress(title ?? name, jobViews(connection, job, drawEveryMs), title !== undefined));
  if (title !== undefined && draw) return settle(draw(title, jobViews(connection, job, drawEveryMs)));
  return Promise.resolve();
}

/** A bar that breaks must not break the job. */
async function settle(drawing: void | Promise<void>): Promise<void> {
  try {
    await drawing;
  } catch (error) {
    process.emitWarning(`the progress display failed: ${String(error)}`);
  }
}

/** The job's view, now and every so often, last of all as it ended. */
export async function* jobViews(connection: Connection, job: string, everyMs: number): AsyncGenerator<JobView> {
  const ended = connection.ended(job);
  for (;;) {
    yield await connection.request<JobView>({ kind: 'query', job });
    const stop = new AbortController();
    const last = await Promise.race([ended, pause(everyMs, undefined, { signal: stop.signal, ref: false })]);
    stop.abort();
    if (last) {
      yield last;
      return;
    }
  }
}

/** Counts of views, and the rate and rest that follow from several of them. */
export class ProgressMeter {
  readonly #samples: { ms: number; final: number }[] = [];

  of(view: JobView, nowMs: number = performance.now()): Progress {
    const final = view.succeeded + view.failed + view.skipped;
    this.#samples.push({ ms: nowMs, final });
    while (this.#samples.length > 2 && nowMs - this.#samples[1]!.ms > rateWindowMs) this.#samples.shift();
    const first = this.#samples[0]!;
    const ratePerSecond = nowMs > first.ms ? ((final - first.final) * 1000) / (nowMs - first.ms) : 0;
    const left = view.total === undefined ? undefined : view.total - final;
    const { queued, running, succeeded, failed, retried } = view;
    const etaSeconds = left === 0 ? 0 : left === undefined || ratePerSecond <= 0 ? undefined : left / ratePerSecond;
    return { total: view.total, queued, running, succeeded, failed, retried, ratePerSecond, etaSeconds };
  }
}
