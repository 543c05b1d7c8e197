/**
 * How long the tasks of one stage take, as measured here, and from it how many of them make one work: enough that
 * handing it over costs nothing, few enough that slots end together and can be called off soon.
 */

/** A work is about this long; a slot that has less than this left may be given the next one. */
export const workMs = 48;
/** Tasks longer than this go one by one. */
const longTaskMs = 4;
/** Sharing out the last tasks stops at works of this length. */
const workMsMin = 0.2;
/** What a task costs on the way even if it does nothing. */
const taskMsMin = 0.0005;
export const workTasksMax = 4096;
export const workBytesMax = 1024 * 1024;

export class Pace {
  /** Async lanes a slot. */
  readonly lanes: number;
  /** Undefined until the first result. */
  taskMs: number | undefined;
  /** Doubles with each work, so that one odd measurement costs little. */
  private tasksMax: number;

  constructor(lanes: number) {
    this.lanes = lanes;
    this.tasksMax = lanes;
  }

  /** Exponentially weighted, newest batch 30 %: the first tasks of a cold thread are forgotten after a few works. */
  learn(durationsUs: ArrayLike<number>): void {
    if (durationsUs.length === 0) return;
    let sumUs = 0;
    for (let i = 0; i < durationsUs.length; i++) sumUs += durationsUs[i]!;
    const taskMs = Math.max(taskMsMin, sumUs / durationsUs.length / 1000);
    this.taskMs = this.taskMs === undefined ? taskMs : this.taskMs + 0.3 * (taskMs - this.taskMs);
  }

  /** Time that a slot needs for so many tasks; unknown is for ever, so that nothing queues behind it. */
  estimateMs(tasks: number): number {
    return this.taskMs === undefined ? Number.POSITIVE_INFINITY : (tasks * this.taskMs) / this.lanes;
  }

  /** Tasks of the next work, of `pending` ones that all `slots` share. */
  next(pending: number, slots: number): number {
    if (this.taskMs === undefined) return this.lanes;
    this.tasksMax = Math.min(workTasksMax, this.tasksMax * 2);
    const share = Math.max(Math.ceil(pending / slots), Math.floor((workMsMin * this.lanes) / this.taskMs), 1);
    return Math.min(this.whole(this.taskMs), share, this.tasksMax);
  }

  private whole(taskMs: number): number {
    const rounds = Math.max(1, Math.floor(workMs / taskMs));
    if (this.lanes > 1) return this.lanes * rounds;
    return taskMs > longTaskMs ? 1 : rounds;
  }
}

const stagesMax = 128;

/** The paces of the stages seen last: at least so many. */
export class Paces {
  private seen = new Map<string, Pace>();
  private before = new Map<string, Pace>();

  of(job: string, stage: number, lanes: number): Pace {
    const key = `${stage}/${job}`;
    const known = this.seen.get(key) ?? this.before.get(key);
    const pace = known?.lanes === lanes ? known : new Pace(lanes);
    this.seen.set(key, pace);
    if (this.seen.size >= stagesMax) {
      // Taking the oldest out of one map, one by one, would look over all that were taken before it.
      this.before = this.seen;
      this.seen = new Map();
    }
    return pace;
  }
}
