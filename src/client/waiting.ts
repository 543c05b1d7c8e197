/**
 * Nothing waits in silence: while jobs of this program run, the coordinator is asked now and then whether one of them waits for
 * something that will not come by itself, and each reason is told once. In a process alone there is nothing to tell of turns
 * and pauses, only of what it can never run.
 */
import type { JobView } from '../core/answers.ts';
import type { Connection } from './connection.ts';

const everyMs = 5_000;
/** Of many jobs that wait for the same, a few tell it as well as all. */
const jobsMax = 10;

export class WaitingWatch {
  readonly #connection: Connection;
  readonly #running: ReadonlySet<string>;
  readonly #tell: (view: JobView, why: string) => void;
  readonly #isRemote: boolean;
  readonly #told = new Set<string>();
  readonly #timer: NodeJS.Timeout;

  constructor(connection: Connection, running: ReadonlySet<string>, isRemote: boolean, tell: (view: JobView, why: string) => void) {
    this.#connection = connection;
    this.#isRemote = isRemote;
    this.#running = running;
    this.#tell = tell;
    this.#timer = setInterval(() => void this.#look(), everyMs);
    this.#timer.unref();
  }

  end(): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    const jobs = [...this.#running].slice(0, jobsMax);
    const views = await Promise.allSettled(jobs.map((job) => this.#connection.request<JobView>({ kind: 'query', job })));
    for (const view of views) if (view.status === 'fulfilled') this.#consider(view.value);
  }

  #consider(view: JobView): void {
    const { waiting, stuck, name } = view;
    const key = `${name} ${waiting}`;
    if (waiting === undefined || !(this.#isRemote || stuck) || this.#told.has(key)) return;
    this.#told.add(key);
    this.#tell(view, waiting);
  }
}
