/**
 * The checker's own fold of the journal, written from the specification (facts.ts, DESIGN.md's rules) and from nothing of
 * the product but the layout of an entry's head. Each fact is judged when it is stored:
 *
 * I1 one outcome a task and life · I2 streams without holes, writers that change by barriers of growing terms only ·
 * I4 what is done was done by the attempt that was open · I9 attempts and crashes within their limits ·
 * I10 one job a key and a submission · I11 nothing after a job's end · I12 a job succeeds when all of it is accounted for.
 */
import type { Fact, JobFact, RegistryFact } from '../src/core/facts.ts';
import { decodeHead } from '../src/wire/frame.ts';
import { ChangeModel } from './change-model.ts';
import { canStart, hasArgs, isLost, lengthAtEnd, lengthOf, sameOf, wantedOf } from './graph-model.ts';
import { changeCode, type Final, type JobModel, newJob, newTask, type TaskModel } from './job-model.ts';
import { reached } from './probes.ts';
import { isRegistry, RegistryModel } from './registry-model.ts';
import { RosterModel } from './roster-model.ts';
import { each } from './slot.ts';
import { type StoredEntry, Streams } from './stream-model.ts';
import { decodeValue, elementsOf, isSame, type Value } from './values.ts';
import { check } from './violation.ts';

export class Model {
  readonly jobs = new Map<string, JobModel>();
  private readonly streams = new Streams();
  private readonly registry = new RegistryModel();
  /** Time of day when the entry at hand was stored, by a clock that is right; `isTimeKept`: all clocks are. */
  wallMs = 0;
  isTimeKept = true;
  readonly paused = new Set<string>();
  readonly changes = new ChangeModel();
  onWorkerLeft: (fact: Extract<RegistryFact, { fact: 'worker-left' }>, entry: StoredEntry) => void = () => undefined;
  /** Uploaded programs: the stream that has each, and where the registry says so. */
  readonly programs = new Map<string, { stream: string; position: number; firstPosition: number }>();
  /** Where the registry says last that a program is gone; streams of programs that are stored. */
  readonly programsGone = new Map<string, number>();
  readonly programStreams = new Map<string, number>();
  readonly roster = new RosterModel();
  term = 0;
  /** Of the registry's last barrier. */
  writer: string | undefined;
  /** Entries of jobs whose opening is not stored (yet). */
  private readonly early = new Map<string, { entry: StoredEntry; position: number }[]>();

  store(entry: StoredEntry, position: number): void {
    const facts = decodeHead<Fact>(entry.head);
    const opener = this.jobs.get(entry.stream.slice('job.'.length))?.writer;
    this.streams.judge(entry, facts[0], opener, this.registry.isPointer(entry.stream));
    if (isRegistry(entry.stream)) this.onRegistryEntry(entry, facts as RegistryFact[], position);
    else if (entry.stream.startsWith('bundle.')) this.programStreams.set(entry.stream, position);
    else if (entry.stream.startsWith('job.')) this.onJobEntry(entry, facts as JobFact[], position);
  }

  drop(name: string): void {
    if (name.startsWith('bundle.')) {
      for (const [hash, { stream }] of this.programs)
        check(stream !== name, 'I2', () => `${hash} is still there, and its stream is dropped`);
      this.programStreams.delete(name);
    }
    if (isRegistry(name)) this.registry.drop(name);
    const job = this.jobs.get(name.slice('job.'.length));
    if (job) check(job.isDropped, 'I2', () => `${name} is dropped before the registry says so`);
  }

  // ---- the registry ----

  private onRegistryEntry(entry: StoredEntry, facts: readonly RegistryFact[], position: number): void {
    if (!this.registry.counts(entry, facts)) return;
    for (const fact of facts) this.onRegistry(fact, entry, position);
    this.registry.after(facts, this);
  }

  private onRegistry(fact: RegistryFact, entry: StoredEntry, position: number): void {
    switch (fact.fact) {
      case 'term':
        this.term = fact.term;
        this.writer = entry.writer;
        for (const { id, isDropped } of this.jobs.values()) {
          if (!isDropped && this.streams.isEmpty(`job.${id}`)) reached('a takeover finds a job without an entry of its own');
        }
        return;
      case 'lease':
        return reached('an idle leader shows that it leads');
      case 'job-opened':
        return this.onOpened(fact, entry, position);
      case 'code-changed':
        return changeCode(this.jobs.get(fact.job), fact);
      case 'job-dropped': {
        const job = this.jobs.get(fact.job);
        check(job !== undefined && !job.isDropped, 'I2', () => `${fact.job} is dropped, but not there`);
        job!.isDropped = true;
        job!.droppedPosition = position;
        return;
      }
      case 'worker-joined':
        return this.roster.joined(fact, this.term);
      case 'worker-left':
        this.onWorkerLeft(fact, entry);
        return this.roster.left(fact);
      case 'worker-forgotten':
        return this.roster.forgotten(fact);
      case 'queue-set':
        if (fact.paused) this.paused.add(fact.queue);
        else this.paused.delete(fact.queue);
        return this.changes.onMade(`queue ${fact.queue}`, fact.change);
      case 'bundle-added':
        this.programs.set(fact.hash, {
          stream: fact.stream,
          position,
          firstPosition: this.programs.get(fact.hash)?.firstPosition ?? position,
        });
        return;
      case 'bundle-dropped': {
        for (const job of this.jobs.values()) {
          const needsIt = !job.isDropped && job.spec.stages.some(({ definition }) => definition?.bundle === fact.hash);
          check(!needsIt, 'I2', () => `the program ${fact.hash} is dropped, and ${job.id} needs it`);
        }
        this.programs.delete(fact.hash);
        this.programsGone.set(fact.hash, position);
        return reached('a program goes with its last job');
      }
      default:
    }
  }

  private onOpened(fact: Extract<RegistryFact, { fact: 'job-opened' }>, entry: StoredEntry, position: number): void {
    check(!this.jobs.has(fact.job), 'I10', () => `${fact.job} is opened twice`);
    for (const other of this.jobs.values()) {
      if (other.isDropped) continue;
      const { key } = fact.spec;
      check(key === undefined || other.spec.key !== key, 'I10', () => `key ${key} stands for ${other.id} and ${fact.job}`);
      const isTwice = fact.submission !== undefined && other.submission === fact.submission;
      check(!isTwice, 'I10', () => `submission ${fact.submission} has opened ${other.id} and ${fact.job}`);
    }
    const job = newJob(fact, entry.writer, position);
    this.jobs.set(job.id, job);
    for (const early of this.early.get(job.id) ?? []) {
      check(early.entry.writer === job.writer, 'I13', () => `${job.id} was begun by ${early.entry.writer}`);
      this.foldEntry(job, early.entry, decodeHead<JobFact>(early.entry.head), early.position);
    }
    this.early.delete(job.id);
  }

  // ---- jobs ----

  private onJobEntry(entry: StoredEntry, facts: readonly JobFact[], position: number): void {
    const id = entry.stream.slice('job.'.length);
    const job = this.jobs.get(id);
    if (job) return this.foldEntry(job, entry, facts, position);
    const early = this.early.get(id) ?? [];
    early.push({ entry, position });
    this.early.set(id, early);
  }

  private foldEntry(job: JobModel, entry: StoredEntry, facts: readonly JobFact[], position: number): void {
    for (const fact of facts) {
      check(!job.isSealed, 'I2', () => `${job.id}: ${fact.fact} after its end is sealed`);
      this.onJob(job, fact, entry, position);
    }
  }

  task(job: JobModel, stage: number, index: number): TaskModel {
    const { tasks } = job.stages[stage]!;
    return (tasks[index] ??= newTask());
  }

  private open(job: JobModel, stage: number, index: number, fact: JobFact): TaskModel {
    const where = (): string => `${job.id}/${stage}/${index}: ${fact.fact}`;
    check(job.outcome === undefined, 'I11', () => `${where()} after the job has ${job.outcome}`);
    // What never started waits for the stages before it, and may wait too long.
    if (fact.fact !== 'tasks-expired')
      check(canStart(job, stage, index), 'I5', () => `${where()}, but there is no such task, or it lacks something`);
    const task = this.task(job, stage, index);
    check(task.final === undefined, 'I1', () => `${where()}, but it is ${task.final}`);
    return task;
  }

  private onJob(job: JobModel, fact: JobFact, entry: StoredEntry, position: number): void {
    switch (fact.fact) {
      case 'inputs-added':
        return this.onInputs(job, fact, entry, position);
      case 'inputs-sealed': {
        const stage = job.stages[fact.stage]!;
        check(stage.added === fact.total && !stage.isSealed, 'I12', () => `${job.id}: sealed at ${fact.total} of ${stage.added}`);
        stage.isSealed = true;
        return;
      }
      case 'tasks-started':
        for (const index of each(fact.ranges)) {
          const task = this.task(job, fact.stage, index);
          if (task.startedAttempt === task.attempt) continue;
          task.startedAttempt = task.attempt;
          task.startedTerm = this.term;
          task.startedPosition = position;
        }
        return;
      case 'tasks-done':
        return this.onDone(job, fact, entry, position);
      case 'partial-done':
        return this.onPartial(job, fact, entry, position);
      case 'task-failed':
      case 'task-crashed':
        return this.onClosed(job, fact);
      case 'tasks-lost':
        for (const index of each(fact.ranges)) {
          const task = this.open(job, fact.stage, index, fact);
          task.lost++;
          if (task.startedTerm < this.term) reached('what was started before a takeover is resolved');
        }
        return;
      case 'task-dead':
        return this.onDead(job, fact, position);
      case 'tasks-expired':
        for (const index of each(fact.ranges)) this.onExpired(job, fact, index, position);
        return;
      case 'letters-purged':
        for (const index of each(fact.ranges)) {
          const task = this.task(job, fact.stage, index);
          check(task.final === 'dead', 'I1', () => `${job.id}/${fact.stage}/${index} is purged, it is ${task.final ?? 'open'}`);
          task.isPurged = true;
        }
        reached('a dead letter is purged');
        return;
      case 'tasks-replayed':
        return this.onReplayed(job, fact);
      case 'job-ended':
        return this.onEnded(job, fact, position);
      case 'job-changed':
        return this.changes.onMade(job.id, fact.change);
      case 'stream-sealed':
        job.isSealed = true;
        return;
      default:
    }
  }

  private end(task: TaskModel, final: Final, position: number): void {
    task.final = final;
    task.position = position;
  }

  private onInputs(job: JobModel, fact: Extract<JobFact, { fact: 'inputs-added' }>, entry: StoredEntry, position: number): void {
    const stage = job.stages[fact.stage]!;
    check(job.outcome === undefined && !stage.isSealed, 'I11', () => `${job.id}: inputs after its end`);
    check(fact.from === stage.added, 'I12', () => `${job.id}: inputs from ${fact.from}, ${stage.added} are there`);
    let { offset } = fact;
    for (const length of fact.lengths) {
      const value = decodeValue(entry.body.subarray(offset, offset + length));
      const index = stage.added++;
      stage.atoms[index] = value.atoms;
      stage.addedWallMs[index] = fact.wallMs;
      offset += length;
      // A graph's own inputs are results already.
      if (job.spec.stages[fact.stage]!.definition) continue;
      const task = this.task(job, fact.stage, index);
      task.value = value;
      task.values = [value];
      this.end(task, 'done', position);
      this.arrive(job, fact.stage, index, task);
    }
    stage.addedPosition = position;
  }

  private judgeValue(job: JobModel, stage: number, index: number, task: TaskModel, value: Value): void {
    const where = (): string => `${job.id}/${stage}/${index}, attempt ${task.attempt}, has the result of ${value.by.join('/')}`;
    check(value.by[0] === stage && value.by[1] === index, 'I4', where);
    check(value.by[2] === task.attempt, 'I4', where);
  }

  private onDone(job: JobModel, fact: Extract<JobFact, { fact: 'tasks-done' }>, entry: StoredEntry, position: number): void {
    const { feed, args } = job.spec.stages[fact.stage]!;
    let { offset } = fact;
    let frame = 0;
    let at = 0;
    for (const index of each(fact.ranges)) {
      const task = this.open(job, fact.stage, index, fact);
      const atoms: number[] = [];
      task.values = [];
      for (let count = fact.counts ? fact.counts[at]! : 1; count > 0; count--) {
        const length = fact.lengths[frame++]!;
        const value = decodeValue(entry.body.subarray(offset, offset + length));
        offset += length;
        this.judgeValue(job, fact.stage, index, task, value);
        task.values.push(value);
        for (const atom of value.atoms) atoms.push(atom);
      }
      task.value = task.values[0];
      const given = feed.kind === 'fold' ? atoms : wantedOf(job, fact.stage, index);
      const wanted = fact.counts ? given.flatMap(elementsOf) : given;
      const isRight = args ? isSame(wanted, atoms) : wanted.join() === atoms.join();
      check(isRight, 'I4', () => `${job.id}/${fact.stage}/${index} was given ${given.join()} and made ${atoms.join()}`);
      if (args) reached('a task is made of results of other stages');
      this.end(task, 'done', position);
      this.arrive(job, fact.stage, index, task);
      at++;
    }
  }

  /** What the stages behind it get to do. */
  private arrive(job: JobModel, from: number, index: number, task: TaskModel): void {
    job.spec.stages.forEach(({ feed }, at) => {
      const stage = job.stages[at]!;
      if (feed.kind === 'each' && feed.from === from) stage.atoms[index] = task.values.flatMap(({ atoms }) => atoms);
      if (feed.kind === 'spread' && feed.from === from) for (const { atoms } of task.values) stage.atoms[stage.added++] = atoms;
    });
  }

  private onPartial(job: JobModel, fact: Extract<JobFact, { fact: 'partial-done' }>, entry: StoredEntry, position: number): void {
    const value = decodeValue(entry.body.subarray(fact.offset, fact.offset + fact.length));
    const wanted: number[] = [];
    for (const index of each(fact.ranges)) {
      const task = this.open(job, fact.stage, index, fact);
      check(
        value.by[2] === task.attempt,
        'I4',
        () => `${job.id}/${fact.stage}/${index}: a partial of attempt ${value.by[2]}, not ${task.attempt}`,
      );
      for (const atom of wantedOf(job, fact.stage, index)) wanted.push(atom);
      this.end(task, 'done', position);
    }
    const isRight = job.spec.stages[fact.stage]!.args ? isSame(wanted, value.atoms) : wanted.join() === value.atoms.join();
    check(isRight, 'I4', () => `${job.id}: a partial of ${wanted.join()} holds ${value.atoms.join()}`);
    reached('a partial is counted');
  }

  private onClosed(job: JobModel, fact: Extract<JobFact, { fact: 'task-failed' | 'task-crashed' }>): void {
    const task = this.open(job, fact.stage, fact.index, fact);
    const where = (): string => `${job.id}/${fact.stage}/${fact.index}`;
    check(fact.attempt === task.attempt, 'I4', () => `${where()}: ${fact.fact} of attempt ${fact.attempt}, ${task.attempt} is open`);
    const { retry, crashLimit } = job.spec.stages[fact.stage]!;
    task.attempt++;
    if (fact.fact === 'task-failed') {
      task.failures++;
      task.notBeforeWallMs = fact.notBeforeWallMs;
      check(task.failures <= retry.retries + 1, 'I9', () => `${where()} has failed ${task.failures} times`);
    } else {
      task.crashes++;
      task.notBeforeWallMs = 0;
      check(task.crashes <= crashLimit + 1, 'I9', () => `${where()} has crashed ${task.crashes} times`);
      if (fact.how === 'worker lost') reached('a task is blamed for the loss of its worker');
    }
  }

  private onExpired(job: JobModel, fact: Extract<JobFact, { fact: 'tasks-expired' }>, index: number, position: number): void {
    const task = this.open(job, fact.stage, index, fact);
    const where = (): string => `${job.id}/${fact.stage}/${index} has expired`;
    const { ttlMs } = job.spec.stages[fact.stage]!;
    const addedWallMs = job.stages[fact.stage]!.addedWallMs[index];
    check(ttlMs !== undefined && addedWallMs !== undefined, 'I9', () => `${where()}, and may wait for ever`);
    check(task.attempt === 1 && task.lost === 0, 'I9', () => `${where()} in attempt ${task.attempt}`);
    if (this.isTimeKept) check(this.wallMs >= addedWallMs! + ttlMs! - 2, 'I9', () => `${where()} too early`);
    reached('a task has waited too long');
    this.end(task, 'expired', position);
    this.skipBehind(job, fact.stage, index, position);
  }

  private onDead(job: JobModel, fact: Extract<JobFact, { fact: 'task-dead' }>, position: number): void {
    const task = this.open(job, fact.stage, fact.index, fact);
    check(task.failures + task.crashes > 0, 'I9', () => `${job.id}/${fact.stage}/${fact.index} is dead without a failure`);
    reached('a task is dead');
    this.end(task, 'dead', position);
    this.skipBehind(job, fact.stage, fact.index, position);
  }

  /** What needs the result of a task that will have none is skipped; no fact says so. */
  private skipBehind(job: JobModel, from: number, index: number, position: number): void {
    job.spec.stages.forEach((spec, at) => {
      if (!sameOf(spec).includes(from)) return;
      const task = this.task(job, at, index);
      if (task.final !== undefined) return;
      this.end(task, 'skipped', position);
      this.skipBehind(job, at, index, position);
    });
  }

  private onReplayed(job: JobModel, fact: Extract<JobFact, { fact: 'tasks-replayed' }>): void {
    job.outcome = undefined;
    job.replays++;
    for (const index of each(fact.ranges)) {
      const task = this.task(job, fact.stage, index);
      // A fold's combine tasks appear by no fact, and so may some that the model has not met.
      const isUnmet = task.final === undefined && (hasArgs(job) || job.spec.stages[fact.stage]!.feed.kind === 'fold');
      check(!task.isPurged, 'I1', () => `${job.id}/${fact.stage}/${index} is replayed, and a person has done with it`);
      const isBack = isUnmet || (task.final !== undefined && task.final !== 'done');
      check(isBack, 'I1', () => `${job.id}/${fact.stage}/${index} is replayed, it is ${task.final ?? 'open'}`);
      // A dead one's attempt is closed already.
      if (task.final !== 'dead') task.attempt++;
      task.final = undefined;
      task.failures = 0;
      task.crashes = 0;
      task.notBeforeWallMs = 0;
    }
    reached('tasks are replayed');
  }

  private onEnded(job: JobModel, fact: Extract<JobFact, { fact: 'job-ended' }>, position: number): void {
    check(job.outcome === undefined, 'I12', () => `${job.id} has ${fact.outcome} and had ${job.outcome}`);
    if (fact.outcome === 'succeeded') this.judgeSuccess(job);
    if (fact.outcome === 'expired') this.judgeDeadline(job);
    job.outcome = fact.outcome;
    job.outcomePosition = position;
    reached(`a job has ${fact.outcome}`);
    const final = fact.outcome === 'cancelled' || fact.outcome === 'expired' ? fact.outcome : 'skipped';
    const open: TaskModel[] = [];
    job.spec.stages.forEach(({ feed }, at) => {
      for (let index = 0; index < lengthAtEnd(job, at); index++) {
        if (feed.kind === 'fold' && !job.stages[at]!.tasks[index]) continue;
        const task = this.task(job, at, index);
        if (task.final === undefined) open.push(Object.assign(task, { wasLost: isLost(job, at, index) }));
      }
    });
    for (const task of open) this.end(task, final, position);
  }

  private judgeDeadline({ id, spec, replays }: JobModel): void {
    const { deadlineWallMs } = spec;
    check(deadlineWallMs !== undefined && replays === 0, 'I9', () => `${id} has expired, and has no deadline`);
    if (this.isTimeKept) check(this.wallMs >= deadlineWallMs! - 2, 'I9', () => `${id} has expired before its deadline`);
  }

  private judgeSuccess(job: JobModel): void {
    job.spec.stages.forEach(({ feed, failuresMax }, at) => {
      const stage = job.stages[at]!;
      if (feed.kind === 'inputs') check(stage.isSealed, 'I12', () => `${job.id} succeeds before its inputs are sealed`);
      let failed = 0;
      const length = feed.kind === 'fold' ? stage.tasks.length : lengthOf(job, at);
      for (let index = 0; index < length; index++) {
        const final = stage.tasks[index]?.final;
        const isHole = isLost(job, at, index);
        check(final !== undefined || isHole, 'I12', () => `${job.id} succeeds, but ${at}/${index} is open`);
        if (!isHole && (final === 'dead' || final === 'expired')) failed++;
      }
      const most = 'count' in failuresMax ? failuresMax.count : failuresMax.share * length;
      check(failed <= most, 'I12', () => `${job.id} succeeds with ${failed} failures in stage ${at}`);
    });
  }
}
