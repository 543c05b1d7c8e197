/**
 * Recomputes every cross-reference of the state and throws at the first that does not hold. Run after every
 * step in tests and simulation; far too slow for anything else.
 */
import { isFinal, TaskState } from './columns.ts';
import { wakesGoneMin } from './limits.ts';
import { hasReady, kindOf, type Place } from './rings.ts';
import type { Job, Stage, State } from './state.ts';
import { storyKey } from './state.ts';

export function checkInvariants(state: State): void {
  const open = [...state.jobs.values()].filter((job) => job.outcome === undefined).length;
  must(open === state.openJobs, `openJobs ${state.openJobs}, jobs say ${open}`);
  const resting = [...state.jobs.values()].filter((job) => job.isResting);
  must(resting.length === state.restingJobs, `restingJobs ${state.restingJobs}, jobs say ${resting.length}`);
  must(
    resting.every((job) => job.outcome === undefined),
    'a job that has ended rests',
  );
  if (state.leading) checkRings(state);
  if (state.leading) checkWakes(state);
  const openByHandle = new Map<number, number>();
  for (const job of state.jobs.values()) {
    for (const stage of job.stages) checkStage(job, stage, openByHandle, state);
    if (state.leading) checkRing(job);
    if (job.outcome !== undefined) {
      for (const stage of job.stages) {
        for (let index = 0; index < stage.columns.length; index++) {
          must(isFinal(stage.columns.state(index)), `${job.id} has ended, but ${stage.index}/${index} is not final`);
        }
      }
    }
  }
  for (const [handle, assignment] of state.assignments) {
    must(assignment.open > 0, `assignment ${handle} holds nothing`);
    must(
      openByHandle.get(handle) === assignment.open,
      `assignment ${handle}: open ${assignment.open}, rows ${openByHandle.get(handle) ?? 0}`,
    );
    must(assignment.worker.held.has(handle), `assignment ${handle} is not on its worker's list`);
  }
  for (const handle of openByHandle.keys()) must(state.assignments.has(handle), `rows run under assignment ${handle}, which is not there`);
  const { workers, workersByName, workersByIndex } = state;
  must(workers.length === workersByName.size && workers.length === workersByIndex.size, 'not all workers are known by name and index');
  for (const worker of workers) checkWorker(state, worker);
}

function checkStage(job: Job, stage: Stage, openByHandle: Map<number, number>, state: State): void {
  const { columns, counts } = stage;
  const where = `${job.id}/${stage.index}`;
  const seen = new Int32Array(counts.length);
  for (let index = 0; index < columns.length; index++) {
    const taskState = columns.state(index);
    seen[taskState]!++;
    must(columns.attempt(index) >= 1, `${where}/${index} has attempt 0`);
    if (taskState !== TaskState.running) continue;
    const handle = columns.serial(index);
    if (handle !== 0) openByHandle.set(handle, (openByHandle.get(handle) ?? 0) + 1);
    else must(!state.leading || state.workersByIndex.has(columns.holder(index)), `${where}/${index} runs nowhere`);
  }
  for (let s = 0; s < counts.length; s++) must(seen[s] === counts[s], `${where}: counts[${s}] is ${counts[s]}, rows say ${seen[s]}`);
  let purged = 0;
  for (let index = 0; index < columns.length; index++) {
    if (job.stories.get(storyKey(stage.index, index))?.isPurged) purged++;
  }
  must(purged === stage.purged && purged <= seen[TaskState.dead]!, `${where}: ${stage.purged} purged, stories say ${purged}`);
  const open = seen[TaskState.waiting]! + seen[TaskState.ready]! + seen[TaskState.running]! + seen[TaskState.delayed]!;
  if (stage.ended && job.outcome === undefined) must(stage.sealed && open === 0, `${where} has ended with ${open} open tasks`);
  if (!stage.ended && stage.sealed && !stage.fold) must(open > 0, `${where} is sealed and has no open task, but has not ended`);
  if (job.spec.output.stage === stage.index && !stage.fold) checkCompletion(stage, where);
  const queued = new Set<number>();
  for (const [from, count] of stage.ready.ranges()) for (let i = from; i < from + count; i++) queued.add(i);
  for (let index = 0; index < columns.length; index++) {
    if (columns.state(index) === TaskState.ready) must(queued.has(index), `${where}/${index} is ready and not queued`);
  }
}

/** What has an outcome of its own is told once; what was combined before it was reported is no output. */
function checkCompletion({ columns, completion }: Stage, where: string): void {
  const told = new Set<number>();
  for (let pair = 0; pair < completion.length; pair += 2) {
    for (let index = completion[pair]!; index < completion[pair]! + completion[pair + 1]!; index++) {
      must(!told.has(index), `${where}/${index} is told twice`);
      must(isFinal(columns.state(index)), `${where}/${index} is told before its end`);
      told.add(index);
    }
  }
  for (let index = 0; index < columns.length; index++) {
    const taskState = columns.state(index);
    const isTold = taskState === TaskState.done || taskState === TaskState.dead || taskState === TaskState.expired;
    must(!isTold || told.has(index), `${where}/${index} is not told`);
  }
}

function checkRing(job: Job): void {
  const { place } = job;
  if (hasReady(job) && job.notBeforeMs === 0 && !job.isResting)
    must(place !== undefined, `${job.id} has ready tasks and is not in its ring`);
  if (!place) return;
  const { line } = place;
  must(line.ring.priority === job.spec.priority, `${job.id} is in another priority's ring`);
  const needs = new Set([...line.kinds].map((kind) => kind.split(' ~')[0]));
  for (const stage of job.stages) {
    const isThere = line.name === job.id || stage.counts[TaskState.ready] === 0 || needs.has(kindOf(stage).split(' ~')[0]);
    must(isThere || job.outcome !== undefined, `${job.id} stands in the line ${line.name}, where stage ${stage.index} is not called`);
  }
}

/** Each place is its job's, in the order of tickets. */
function checkRings(state: State): void {
  const places = new Set<Place>();
  for (const ring of state.rings) {
    must(ring.lines.size > 0, `the ring of ${ring.priority} is empty`);
    for (const [name, line] of ring.lines) {
      must(line.name === name && line.ring === ring && line.first !== undefined, `the line ${name} is not what it says`);
      let before: Place | undefined;
      for (let place = line.first; place; place = place.after) {
        must(place.line === line && place.before === before, `${place.job.id} is not where it says`);
        must(!before || before.ticket < place.ticket, `${place.job.id} stands before one who was there first`);
        must(place.job.place === place, `${place.job.id} has another place`);
        places.add(place);
        before = place;
      }
      must(line.last === before, `the line ${name} has another end`);
    }
  }
  for (const { id, place } of state.jobs.values()) must(!place || places.has(place), `${id} stands in no line`);
}

function checkWakes({ timers, jobs, wakesGone }: State): void {
  const wakes = new Map<string, number>();
  for (const wake of timers.all()) if (wake.wake !== 'lease') wakes.set(wake.job, (wakes.get(wake.job) ?? 0) + 1);
  let gone = 0;
  for (const [job, count] of wakes) if (!jobs.has(job)) gone += count;
  must(gone === wakesGone && gone <= Math.max(wakesGoneMin, timers.size / 2), `${wakesGone} alarms are of no job, timers say ${gone}`);
  for (const job of jobs.values())
    must(job.wakes === (wakes.get(job.id) ?? 0), `${job.id} has ${wakes.get(job.id)} alarms, and not ${job.wakes}`);
}

function checkWorker(state: State, worker: State['workers'][number]): void {
  must(state.workersByName.get(worker.name) === worker, `${worker.name} is not known by its name`);
  must(state.workersByIndex.get(worker.index) === worker, `${worker.name} is not known by its index`);
  let tasks = 0;
  let slots = 0;
  let ms = 0;
  for (const handle of worker.held) {
    const assignment = state.assignments.get(handle);
    must(assignment !== undefined, `${worker.name} holds ${handle}, which is not there`);
    tasks += assignment!.open;
    slots += assignment!.open / (assignment!.stage.spec.concurrency ?? 1);
    ms += assignment!.open * assignment!.taskMs;
  }
  must(tasks === worker.heldTasks, `${worker.name}: heldTasks ${worker.heldTasks}, assignments say ${tasks}`);
  must(Math.abs(slots - worker.heldSlots) < 1e-3, `${worker.name}: heldSlots ${worker.heldSlots}, assignments say ${slots}`);
  must(Math.abs(ms - worker.heldMs) < 1e-3 + ms * 1e-6, `${worker.name}: heldMs ${worker.heldMs}, assignments say ${ms}`);
  checkResources(state, worker);
  must(worker.status !== 'left' || worker.held.size === 0, `${worker.name} has left and holds assignments`);
}

/** What is taken is what the tasks need that are out, and no more than there is, but for one that needs more and runs alone. */
function checkResources(state: State, { name: worker, held, used, resources }: State['workers'][number]): void {
  const needed = new Map(Object.keys(used).map((name) => [name, { amount: 0, tasks: 0 }]));
  for (const handle of held) {
    const { open, stage } = state.assignments.get(handle)!;
    for (const [name, amount] of Object.entries(stage.spec.resources)) {
      const all = needed.get(name);
      must(all !== undefined, `${worker} holds what needs ${name}, and has nothing taken of it`);
      all!.amount += open * amount;
      if (amount > 0) all!.tasks += open;
    }
  }
  for (const [name, { amount, tasks }] of needed) {
    const has = resources[name] ?? 0;
    must(Math.abs(amount - used[name]!) < 1e-6, `${worker}: ${used[name]} of ${name} are taken, assignments say ${amount}`);
    must(amount <= has + 1e-6 || tasks === 1, `${worker}: ${tasks} tasks need ${amount} of ${name}, it has ${has}`);
  }
}

function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(`invariant broken: ${what}`);
}
