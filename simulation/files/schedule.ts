/**
 * One schedule of the file journal: a few processes on one machine open one directory, as coordinators do that an election
 * has let in, append, drop and read, and are killed, stand still, lose their machine, find it full or its disk failing. In
 * the quiet after that one opens what is left, twice, and has to find all that was confirmed.
 */

import { segmentNumberOf } from '../../src/journals/file/format.ts';
import { type FileJournal, openFiles } from '../../src/journals/file/journal.ts';
import { ConflictError, type Entry, JournalFullError, OutcomeUnknownError } from '../../src/journals/journal.ts';
import { Dice } from '../chance.ts';
import { reached } from '../probes.ts';
import { check, Violation } from '../violation.ts';
import { type SimNode, World } from '../world.ts';
import { Host, isAlive, type Life } from './host.ts';
import { Judge } from './judge.ts';

const directory = '/journal';
const gustMs = 20;
const quietMs = 60_000;
const streamsMax = 5;

interface Plan {
  processes: number;
  stormMs: number;
  segmentBytes: number;
  actMs: number;
  pauseMs: number;
  deaths: number;
  rates: Record<'kill' | 'stand' | 'crash' | 'full' | 'fail', number>;
}

function drawPlan(seed: number): Plan {
  const dice = new Dice(seed, 'files/plan');
  const rate = (most: number): number => (dice.chance(0.35) ? 0 : dice.next() * most);
  return {
    processes: 1 + dice.below(3),
    stormMs: dice.between(100, 700),
    segmentBytes: dice.pick([3_000, 10_000, 40_000]),
    actMs: dice.pick([0.02, 0.2, 2]),
    pauseMs: dice.pick([1, 5, 20]),
    deaths: rate(0.02),
    rates: { kill: rate(0.1), stand: rate(0.1), crash: rate(0.05), full: rate(0.05), fail: rate(0.05) },
  };
}

export interface FilesOutcome {
  seed: number;
  error: Error | undefined;
  invariant: string | undefined;
  events: number;
  virtualMs: number;
  hash: number;
}

export async function runFiles(seed: number, onStep?: (line: string) => void): Promise<FilesOutcome> {
  const run = new Run(seed);
  const { world } = run;
  world.onStep = onStep;
  let error: Error | undefined;
  try {
    await run.run();
  } catch (caught) {
    error = caught as Error;
  }
  const invariant = error instanceof Violation ? error.invariant : error?.name;
  return { seed, error, invariant, events: world.events, virtualMs: world.nowMs, hash: world.hash >>> 0 };
}

class Run {
  readonly world: World;
  readonly plan: Plan;
  readonly host: Host;
  readonly judge = new Judge();
  isCalm = false;
  /** Who made a segment last; one that could not go on has removed it again. */
  newest: User | undefined;
  private readonly users: User[];
  private readonly dice: Dice;

  constructor(seed: number) {
    this.world = new World(seed);
    this.plan = drawPlan(seed);
    this.dice = new Dice(seed, 'files/weather');
    this.host = new Host(this.world, this.plan);
    this.host.onDeath = ({ node }) => (this.dice.chance(0.3) ? this.crash() : this.users.find((user) => user.node === node)!.die());
    // Where the danger is: another may open the journal just then.
    this.host.onHalfWritten = ({ node }) => void (!this.isCalm && this.dice.chance(5 * this.plan.rates.stand) && this.stand(node));
    this.users = Array.from({ length: this.plan.processes }, (_, at) => new User(this, this.world.node(`p${at + 1}`, 0)));
  }

  async run(): Promise<void> {
    const { world, plan, host } = this;
    for (const user of this.users) user.boot();
    const gust = (): void => {
      if (this.isCalm) return;
      this.blow();
      world.after(gustMs, undefined, gust);
    };
    gust();
    await world.run(() => world.nowMs >= plan.stormMs, plan.stormMs + 1);
    this.isCalm = true;
    host.bytesMax = Number.POSITIVE_INFINITY;
    host.failing = 0;
    host.deaths = 0;
    for (const user of this.users) user.die();
    world.log('the storm is over');
    const last = new User(this, world.node('last', 0));
    if (this.dice.chance(0.5)) host.crash();
    last.boot();
    const ended = await world.run(() => last.isDone, world.nowMs + quietMs);
    check(ended === 'over', 'F5', () => 'whoever has the journal alone, on a machine in order, comes to no end');
  }

  pause(node: SimNode, ms: number): Promise<void> {
    return new Promise((resolve) => void this.world.after(ms, node, resolve));
  }

  private blow(): void {
    const { dice, plan, world, host } = this;
    const { rates } = plan;
    for (const user of this.users) {
      if (dice.chance(rates.kill)) user.die();
      if (dice.chance(rates.stand)) this.stand(user.node);
    }
    if (dice.chance(rates.crash)) this.crash();
    if (dice.chance(rates.full)) {
      host.bytesMax = host.usedBytes + dice.below(2 * plan.segmentBytes);
      world.log('the disk is full');
      world.after(dice.exponential(200), undefined, () => void (host.bytesMax = Number.POSITIVE_INFINITY));
    }
    if (dice.chance(rates.fail)) {
      host.failing = dice.next();
      world.log('the disk fails');
      world.after(dice.exponential(20), undefined, () => void (host.failing = 0));
    }
  }

  private stand(node: SimNode): void {
    node.pausedUntilMs = this.world.nowMs + this.dice.exponential(100);
    this.world.log(`${node.name} stands still`);
  }

  private crash(): void {
    for (const user of this.users) user.die();
    this.host.crash();
    this.world.log('the machine crashes');
    reached('a machine crashes with files that were not synced');
  }
}

/** A process that opens the journal, uses it, and opens it again when it may not go on. */
class User {
  readonly node: SimNode;
  /** It has seen that all is well; of the last one only. */
  isDone = false;
  readonly run: Run;
  readonly dice: Dice;
  /** The highest segment that it has made. */
  private segment = 0;
  private openings = 0;

  constructor(run: Run, node: SimNode) {
    this.run = run;
    this.node = node;
    // Many files are closed one after the other.
    node.drainTurns = 40;
    this.dice = new Dice(run.world.seed, `files/${node.name}`);
  }

  boot(): void {
    const { world } = this.run;
    world.start(this.node);
    this.live({ node: this.node, life: this.node.life }).catch((error: unknown) => world.fail(error as Error));
  }

  die(): void {
    const { run, node, dice } = this;
    if (!node.isUp) return;
    run.world.kill(node);
    run.world.log(`${node.name} dies`);
    run.world.after(dice.exponential(50), undefined, () => void (run.isCalm || node.isUp || this.boot()));
  }

  /** It has the journal, as far as the files say. */
  get isCurrent(): boolean {
    const { host, newest } = this.run;
    // One that it could not go on in it has removed again, and another may have made one of that number since.
    return newest === this && (host.segments.at(-1) ?? 0) <= this.segment;
  }

  private async live(self: Life): Promise<void> {
    const { run, dice } = this;
    for (let time = 0; ; time++) {
      const journal = await this.open(self);
      if (journal) {
        const session = new Session(this, self, journal, `${self.node.name}.${self.life}.${++this.openings}`);
        await session.readAll();
        if (run.isCalm) {
          await session.finish();
          if (time > 0) return void (this.isDone = true);
        } else await session.use();
        await journal.close();
      }
      await run.pause(self.node, run.isCalm ? 10 : dice.exponential(100));
    }
  }

  private async open(self: Life): Promise<FileJournal | undefined> {
    const { run, node } = this;
    const { world, host, plan } = run;
    this.segment = 0;
    const disk = host.disk(self, (name) => {
      const number = segmentNumberOf(name);
      if (number === undefined) return;
      // What was under way when its process was killed is nobody's.
      if (isAlive(self)) this.segment = number;
      // Below the highest it is late, and has nothing.
      if (number === host.segments.at(-1)) run.newest = isAlive(self) ? this : undefined;
    });
    if (host.segments.length > 0) reached('a process opens a journal that others have had');
    try {
      const journal = await openFiles({
        directory,
        disk,
        lock: { release: () => Promise.resolve() },
        newSalt: () => this.dice.below(2 ** 32),
        segmentBytes: plan.segmentBytes,
        maxEntryBytes: 1e6,
      });
      world.log(`${node.name} has the journal, in segment ${this.segment}`);
      return journal;
    } catch (error) {
      world.log(`${node.name} can not open: ${String(error)}`);
      this.judgeRefusal(error);
      return undefined;
    }
  }

  private judgeRefusal(error: unknown): void {
    const { code, message } = error as { code?: string; message: string };
    if (code === 'SH4006') return reached('a process that opens a journal is overtaken');
    const isExpected = !this.run.isCalm && (error instanceof JournalFullError || code === 'EIO');
    check(isExpected, 'F5', () => `${this.node.name} can not open the journal: ${message}`);
  }
}

/** One opening of the journal. */
class Session {
  private isOver = false;
  private readonly run: Run;
  private readonly dice: Dice;
  private readonly user: User;
  private readonly self: Life;
  private readonly journal: FileJournal;
  private readonly writer: string;

  constructor(user: User, self: Life, journal: FileJournal, writer: string) {
    this.user = user;
    this.run = user.run;
    this.dice = user.dice;
    this.self = self;
    this.journal = journal;
    this.writer = writer;
  }

  async readAll(): Promise<void> {
    for (const stream of this.run.judge.names) {
      // An event of its own: of a stream without entries nothing is read.
      await this.pause(0);
      await this.read(stream);
    }
  }

  /** Until it may not go on. */
  async use(): Promise<void> {
    const { dice, run } = this;
    while (!this.isOver) {
      const streams = this.streams();
      if (dice.chance(0.05)) await this.drop(dice.pick(streams));
      else if (dice.chance(0.1)) await this.read(dice.pick(streams));
      else {
        const appends = Array.from({ length: 1 + dice.below(3) }, () => this.append(this.draw(streams)));
        if (dice.chance(0.7)) await Promise.all(appends);
      }
      await this.pause(dice.exponential(run.plan.pauseMs));
    }
  }

  /** All is well: it can write, drop, and get room back. */
  async finish(): Promise<void> {
    const { journal, run } = this;
    await this.append(this.streams().map((stream) => this.entry(stream)));
    const [first] = this.streams();
    await this.drop(first!);
    await journal.reclaimed();
    await this.readAll();
    check(!this.isOver, 'F5', () => `${this.writer} has the journal alone and can not use it`);
    run.world.log(`${this.writer} has seen that all is well`);
  }

  /** Those that are in use: of each name a new one when it was dropped. */
  private streams(): string[] {
    const { judge } = this.run;
    return Array.from({ length: streamsMax }, (_, at) => {
      let generation = 0;
      while (judge.mayBeDropped(`s${at}.${generation}`)) generation++;
      return `s${at}.${generation}`;
    });
  }

  private draw(streams: readonly string[]): Entry[] {
    const { dice } = this;
    const chosen = new Set(Array.from({ length: 1 + dice.below(2) }, () => dice.pick(streams)));
    return [...chosen].map((stream) => this.entry(stream));
  }

  private entry(stream: string): Entry {
    const { dice, writer, run } = this;
    const seq = run.judge.free(stream, writer);
    const bytes = dice.chance(0.2) ? dice.below(2_000) : dice.below(100);
    const body = dice.chance(0.3) ? [] : [Buffer.alloc(bytes, dice.chance(0.2) ? 0 : 1 + dice.below(255))];
    return { stream, seq, writer, head: Buffer.from(`${stream}/${seq} of ${writer}`), body };
  }

  private async append(entries: readonly Entry[]): Promise<void> {
    const { judge } = this.run;
    judge.onAppend(entries);
    try {
      await this.journal.append(entries);
      if (this.isAlive) this.guard(() => judge.onAppended(entries));
    } catch (error) {
      this.fails(error, entries);
    }
  }

  private async drop(stream: string): Promise<void> {
    const { judge } = this.run;
    judge.onDrop(stream);
    try {
      await this.journal.drop(stream);
      if (this.isAlive) judge.onDropped(stream);
    } catch (error) {
      this.fails(error, []);
    }
  }

  private async read(stream: string): Promise<void> {
    const { judge } = this.run;
    const wasDropped = judge.isDropped(stream);
    const owed = judge.count(stream);
    const wasCurrent = this.user.isCurrent;
    const entries: Entry[] = [];
    try {
      for await (const some of this.journal.read(stream, { from: 0, part: 'all' })) entries.push(...some);
    } catch (error) {
      // Its files may be gone.
      if (this.user.isCurrent) this.run.world.fail(error as Error);
      this.isOver = true;
      return;
    }
    const isCurrent = wasCurrent && this.user.isCurrent;
    if (!this.isAlive) return;
    this.guard(() => {
      if (wasDropped && isCurrent) judge.onReadDropped(this.writer, stream, entries);
      else judge.onRead(this.writer, stream, entries, owed, isCurrent);
    });
  }

  private pause(ms: number): Promise<void> {
    return this.run.pause(this.self.node, ms);
  }

  private get isAlive(): boolean {
    return isAlive(this.self);
  }

  private guard(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.run.world.fail(error as Error);
    }
  }

  private fails(error: unknown, entries: readonly Entry[]): void {
    const { run } = this;
    if (!this.isAlive) return;
    run.world.log(`${this.writer}: ${String(error)}`);
    if (error instanceof JournalFullError && !run.isCalm) {
      run.judge.onRefused(entries);
      return reached('a disk is full');
    }
    this.isOver = true;
    if (error instanceof OutcomeUnknownError && !run.isCalm) return reached('a disk fails');
    if (!(error instanceof ConflictError)) return run.world.fail(error as Error);
    const isRight = run.newest !== this.user || entries.some((entry) => run.judge.mayConflict(entry));
    if (!isRight) run.world.fail(new Violation('F5', `${this.writer} has the journal and conflicts with nobody: ${error.message}`));
    else reached('a process writes to a journal that another has taken');
  }
}
