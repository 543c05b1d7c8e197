/** What only a cluster has: lines that close, clients that come back, workers with other code, uploaded programs. */
import { describe, expect, it } from 'vitest';
import { Driver, jobSpec, pack, stage } from './drive.suite.ts';
import { closeGraceMs, leaseMs } from './limits.ts';
import type { FromClient, ToClient, WorkerCode } from './messages.ts';

const texts = (count: number, from = 0): string[] => Array.from({ length: count }, (_, i) => String(from + i));
const upper = (frames: string[]): string => `<${frames.join('+')}>`;
const named = (names: string[], bundles = false): WorkerCode => ({ kind: 'named', names, bundles });

function cluster(): Driver {
  return new Driver(1, false);
}

function closed(d: Driver, address: string): void {
  d.turn([{ from: 'self', event: 'connectionClosed', address }]);
}

describe('a broker that is down', () => {
  it('takes no lease: what runs goes on, and runs once; who is silent afterwards is lost (N01, N06)', () => {
    const d = cluster();
    d.hello('w1');
    const job = d.submit(jobSpec([stage()]), texts(2));
    expect(d.assigned.map(({ worker }) => worker)).toEqual(['w1']);
    d.hello('w2');
    d.assigned.length = 0;
    for (let passed = 0; passed < 2 * leaseMs; passed += 1000) {
      d.nowMs += 1000;
      d.turn([{ from: 'self', event: 'tick', isBrokerDown: true }]);
    }
    d.passWithBeats(leaseMs - 1000, ['w2']);
    expect(d.assigned).toEqual([]);
    d.passWithBeats(2000, ['w2']);
    expect(d.assigned.length).toBeGreaterThan(0);
    expect(d.assigned.every(({ worker, alone }) => worker === 'w2' && alone)).toBe(true);
    d.work(upper);
    expect(d.view(job)).toMatchObject({ state: 'succeeded', retried: 0 });
  });
});

describe('a closed line', () => {
  it('shortens the lease to a grace: its tasks run elsewhere a second later (H12, W01)', () => {
    const d = cluster();
    d.hello('w1');
    const job = d.submit(jobSpec([stage()]), texts(2));
    expect(d.assigned.map(({ worker }) => worker)).toEqual(['w1']);
    d.hello('w2');
    d.assigned.length = 0;
    closed(d, 'worker.w1.i1');
    d.pass(closeGraceMs - 1);
    expect(d.assigned).toEqual([]);
    d.pass(1);
    expect(d.assigned.every(({ worker, alone }) => worker === 'w2' && alone)).toBe(true);
    d.work(upper);
    expect(d.view(job)).toMatchObject({ state: 'succeeded', retried: 0 });
  });

  it('costs nothing if the same incarnation is back within the grace', () => {
    const d = cluster();
    d.hello('w1');
    d.submit(jobSpec([stage()]), texts(2));
    d.hello('w2');
    const assigned = d.take();
    d.assigned.length = 0;
    closed(d, 'worker.w1.i1');
    d.pass(closeGraceMs - 1);
    d.worker({ kind: 'held', term: 1, lastSerial: assigned.serial, held: [] });
    d.pass(leaseMs - 1);
    expect(d.state.workersByName.get('w1')!.status).toBe('live');
  });

  it('of an older incarnation means nothing', () => {
    const d = cluster();
    d.hello('w1');
    d.hello('w1', { incarnation: 'i2' });
    closed(d, 'worker.w1.i1');
    d.pass(closeGraceMs + 1);
    expect(d.state.workersByName.get('w1')!.status).toBe('live');
  });

  it('a process that was seen to die is lost at once, with what is known of it', () => {
    const d = cluster();
    d.hello('w1');
    d.submit(jobSpec([stage(undefined, { crashLimit: 0 })]), texts(1));
    const memory = { bytes: 900 * 2 ** 20, bytesMax: 1024 * 2 ** 20 };
    d.worker({ kind: 'beat', number: 1, term: 1, lastSerial: 1, load: 1, count: 1, hash: 0, memory });
    const how = { signal: 'SIGKILL', isOutOfMemory: true, text: 'killed by the kernel for want of memory' };
    d.worker({ kind: 'died', how });
    const job = [...d.state.jobs.values()][0]!;
    const error = [...job.stories.values()][0]!.lastError!;
    expect(error.message).toContain('killed by the kernel for want of memory; memory last 900 MiB of 1024 MiB; it held 1 task: inputs[0]');
    expect(d.state.workersByName.get('w1')!).toMatchObject({ status: 'left' });
    const sent = d.sent.length;
    d.worker({ kind: 'died', how });
    d.worker({ kind: 'died', how }, 'w1', 'i0');
    d.worker({ kind: 'died', how }, 'nobody');
    expect(d.sent.length).toBe(sent);
  });
});

describe('code', () => {
  it('goes to a worker that has it; nobody has it: it waits uncharged and says so (V01)', () => {
    const d = cluster();
    d.hello('w1', { code: named(['other']) });
    const job = d.submit(jobSpec([stage()]), texts(1));
    expect(d.assigned).toEqual([]);
    expect(d.view(job)).toMatchObject({ state: 'queued', queued: 1 });
    expect(d.view(job).waiting).toMatch(/code of "inputs"/);
    d.hello('w2', { code: named(['inputs']) });
    expect(d.take()).toMatchObject({ worker: 'w2', attempt: 1 });
  });

  it('of a bundle goes to workers that take bundles, whatever names they know', () => {
    const d = cluster();
    d.ask({ kind: 'putBundle', hash: 'abc', name: 'p.ts', body: pack(['code']).body });
    d.hello('w1', { code: named(['inputs']) });
    d.submit(jobSpec([stage(undefined, { definition: { name: 'inputs', bundle: 'abc' } })]), texts(1));
    expect(d.assigned).toEqual([]);
    d.hello('w2', { code: named([], true) });
    expect(d.take()).toMatchObject({ worker: 'w2', definition: { bundle: 'abc' } });
  });

  it('tasks that every worker has from us need no name', () => {
    const d = cluster();
    d.hello('w1', { code: named([]) });
    d.submit(jobSpec([stage(undefined, { definition: { name: 'shoal.identity' } })]), texts(1));
    expect(d.assigned).toHaveLength(1);
  });
});

describe('a bundle', () => {
  const withBundle = (hash: string, options = {}) => jobSpec([stage(undefined, { definition: { name: 'inputs', bundle: hash } })], options);
  const put = (d: Driver, hash: string): void =>
    void d.ask({ kind: 'putBundle', hash, name: 'p.ts', body: pack([`code of ${hash}`]).body });

  it('that was half stored is awaited: nobody is given its tasks before it is there again (found by the simulator, seed 3027418)', () => {
    const d = cluster();
    put(d, 'abc');
    const job = d.submit(withBundle('abc'), texts(1));
    // As after a takeover that finds no bytes of it.
    d.state.bundles.delete('abc');
    for (const entry of d.journal.get('registry')!) entry.facts = entry.facts.filter(({ fact }) => fact !== 'bundle-added');
    d.hello('w1', { code: named([], true) });
    expect(d.assigned).toEqual([]);
    expect(d.ask({ kind: 'explain', job })).toMatchObject({ reasons: [{ what: expect.stringMatching(/program of .* is not stored/) }] });
    put(d, 'abc');
    d.work(upper);
    expect(d.view(job)).toMatchObject({ state: 'succeeded' });
  });

  it('that was half stored is asked for again, also by who says a submission again that is there (found by the simulator, seed 6044009)', () => {
    const d = cluster();
    put(d, 'abc');
    const submit = { kind: 'submit', spec: withBundle('abc'), digest: 'd', submission: 's' };
    const { job } = d.ask<{ job: string }>(submit);
    d.state.bundles.delete('abc');
    for (const entry of d.journal.get('registry')!) entry.facts = entry.facts.filter(({ fact }) => fact !== 'bundle-added');
    expect(() => d.ask(submit)).toThrow(expect.objectContaining({ code: 'SH1408' }));
    put(d, 'abc');
    expect(d.ask(submit)).toMatchObject({ job });
  });

  it('is stored once, given to workers that want it, and goes with the last job that needs it', () => {
    const d = cluster();
    expect(d.ask({ kind: 'hasBundle', hash: 'abc' })).toEqual({ known: false });
    put(d, 'abc');
    put(d, 'abc');
    expect(d.ask({ kind: 'hasBundle', hash: 'abc' })).toEqual({ known: true });
    expect([...d.journal.keys()].filter((stream) => stream.startsWith('bundle.'))).toHaveLength(1);
    d.hello('w1', { code: named([], true) });
    d.worker({ kind: 'bundleWanted', hash: 'abc' });
    expect(d.bundles).toEqual([{ address: 'worker.w1.i1', hash: 'abc', text: 'code of abc' }]);
    const jobs = [d.submit(withBundle('abc'), texts(1)), d.submit(withBundle('abc'), texts(1))];
    d.work(upper);
    d.ask({ kind: 'deleteJob', job: jobs[0] });
    expect(d.ask({ kind: 'hasBundle', hash: 'abc' })).toEqual({ known: true });
    d.ask({ kind: 'deleteJob', job: jobs[1] });
    expect(d.ask({ kind: 'hasBundle', hash: 'abc' })).toEqual({ known: false });
    expect(d.dropped.filter((stream) => stream.startsWith('bundle.'))).toHaveLength(1);
    d.worker({ kind: 'bundleWanted', hash: 'abc' });
    expect(d.sent.at(-1)!.message).toMatchObject({ kind: 'bundle', isThere: false });
  });

  it('that comes with the same key is what the job runs from then on, also under a coordinator that takes over', () => {
    const d = cluster();
    d.hello('w1', { code: named([], true) });
    put(d, 'abc');
    put(d, 'def');
    const keyed = { key: 'nightly' };
    const job = d.submit(withBundle('abc', keyed), texts(1));
    expect(d.take()).toMatchObject({ definition: { bundle: 'abc' } });
    expect(d.ask({ kind: 'submit', spec: withBundle('def', keyed), digest: 'digest' })).toMatchObject({ job, hasOtherCode: true });
    expect(d.ask({ kind: 'submit', spec: withBundle('def', keyed), digest: 'digest' })).not.toHaveProperty('hasOtherCode');
    d.takeOver();
    expect(d.state.jobs.get(job)!.stages[0]!.spec.definition).toEqual({ name: 'inputs', bundle: 'def' });
    expect(d.state.bundles.get('def')!.jobs).toContain(job);
  });

  it('a job whose program is not here is refused, so that its client uploads it', () => {
    const d = cluster();
    expect(() => d.submit(withBundle('abc'), [])).toThrow();
    expect(d.state.jobs.size).toBe(0);
  });

  it('that no job came for goes after a while, when another is added', () => {
    const d = cluster();
    put(d, 'abc');
    d.pass(3_600_001);
    put(d, 'def');
    expect(d.ask({ kind: 'hasBundle', hash: 'abc' })).toEqual({ known: false });
  });

  it('is still there for the next leader', () => {
    const d = cluster();
    put(d, 'abc');
    const job = d.submit(withBundle('abc'), texts(1));
    d.takeOver();
    d.hello('w1', { code: named([], true) });
    d.worker({ kind: 'bundleWanted', hash: 'abc' });
    expect(d.bundles.at(-1)).toMatchObject({ text: 'code of abc' });
    d.work(upper);
    d.ask({ kind: 'deleteJob', job });
    expect(d.state.bundles.size).toBe(0);
  });
});

describe('a client that did not hear the answer', () => {
  const submit = (request: number, submission = 'once'): FromClient => ({
    kind: 'submit',
    request,
    spec: jobSpec([stage()]),
    digest: '',
    submission,
    ...pack(texts(2)),
  });
  const replies = (d: Driver): unknown[] => d.told.flatMap(({ message }) => (message.kind === 'reply' ? [message.value] : []));

  it('submits again and has one job, with one set of inputs (A03)', () => {
    const d = cluster();
    d.hello();
    d.client(submit(1));
    d.client(submit(2), 'other line');
    const [first, second] = replies(d) as { job: string; deduplicated: boolean }[];
    expect(second!.job).toBe(first!.job);
    expect(second!.deduplicated).toBe(false);
    d.work(upper);
    expect(d.view(first!.job)).toMatchObject({ state: 'succeeded', total: 2 });
    d.client(submit(3, 'another'));
    expect(d.state.jobs.size).toBe(2);
  });

  it('also after a takeover that found the job without the inputs that came along', () => {
    const d = cluster();
    d.client(submit(1));
    const { job } = replies(d)[0] as { job: string };
    d.journal.get(`job.${job}`)!.length = 0;
    d.takeOver();
    d.client(submit(2));
    d.hello();
    d.work(upper);
    expect(d.view(job)).toMatchObject({ state: 'succeeded', total: 2 });
  });

  it('the name is free again when the job is gone', () => {
    const d = cluster();
    d.hello();
    d.client(submit(1));
    d.work(upper);
    const { job } = replies(d)[0] as { job: string };
    d.ask({ kind: 'deleteJob', job });
    expect(d.state.submissions.size).toBe(0);
  });
});

describe('a feeder', () => {
  const flows = (d: Driver, session: string): ToClient[] =>
    d.told.filter((told) => told.session === session && told.message.kind === 'flow').map(({ message }) => message);

  it('hears what is durable when it asks, sends the rest again after a break, and nothing is there twice (A01)', () => {
    const d = cluster();
    const job = d.submit(jobSpec([stage()]), undefined);
    d.client({ kind: 'inputs', job, stage: 0, from: 0, confirm: true, ...pack(texts(3)) }, 'line 1');
    expect(flows(d, 'line 1').at(-1)).toMatchObject({ added: 3 });
    d.turn([{ from: 'client', session: 'line 1', message: 'closed' }]);
    d.client({ kind: 'inputs', job, stage: 0, from: 0, confirm: true, ...pack(texts(5)) }, 'line 2');
    expect(flows(d, 'line 2').at(-1)).toMatchObject({ added: 5 });
    d.client({ kind: 'seal', job, stage: 0, total: 5, confirm: true }, 'line 2');
    expect(flows(d, 'line 2').at(-1)).toMatchObject({ added: 5, sealed: true });
    d.client({ kind: 'seal', job, stage: 0, total: 5, confirm: true }, 'line 3');
    expect(flows(d, 'line 3')).toHaveLength(1);
    d.hello();
    d.work(upper);
    expect(d.read(job)).toEqual(texts(5).map((text) => `<${text}>`));
  });

  it('keeps hearing how far its inputs are when its key is used once more, and when that client is gone (A02, P8)', () => {
    const d = cluster();
    d.hello();
    const spec = jobSpec([stage()], { key: 'k' });
    const job = d.submit(spec, texts(4), false);
    d.client({ kind: 'submit', request: 99, spec, digest: 'digest' }, 'second');
    expect(d.told.at(-1)!.message).toMatchObject({ kind: 'reply', value: { job, deduplicated: true } });
    d.work(upper);
    expect(flows(d, 'client').at(-1)).toMatchObject({ added: 4, final: 4 });
    expect(flows(d, 'second').at(-1)).toMatchObject({ added: 4, final: 4 });
    d.client({ kind: 'inputs', job, stage: 0, from: 4, ...pack(texts(2, 4)) }, 'second');
    d.turn([{ from: 'client', session: 'second', message: 'closed' }]);
    d.work(upper);
    expect(flows(d, 'client').at(-1)).toMatchObject({ added: 6, final: 6 });
    expect(d.state.jobs.get(job)!.feeders.size).toBe(1);
  });

  it('whose inputs another has sent already is told how far they are, without asking (A02, P8)', () => {
    const d = cluster();
    d.hello();
    const job = d.submit(jobSpec([stage()]), texts(6), false);
    d.work(upper);
    d.client({ kind: 'inputs', job, stage: 0, from: 0, ...pack(texts(3)) }, 'second');
    expect(flows(d, 'second')).toMatchObject([{ added: 6, final: 6 }]);
    const told = flows(d, 'client').length;
    d.client({ kind: 'query', request: 99, job }, 'second');
    expect(flows(d, 'second')).toHaveLength(1);
    expect(flows(d, 'client')).toHaveLength(told);
  });

  it('with other inputs under the same key is told so, however batches meet, and leaves the job alone (A02, P8, H14)', () => {
    const d = cluster();
    d.hello();
    const job = d.submit(jobSpec([stage()], { key: 'k' }), undefined);
    const feed = (session: string, from: number, marks: number[]) =>
      d.client(
        { kind: 'inputs', job, stage: 0, from, feeder: 1, marks: Uint32Array.from(marks), ...pack(texts(marks.length - 1, from)) },
        session,
      );
    const seal = (session: string, total: number, mark: number) =>
      d.client({ kind: 'seal', job, stage: 0, total, feeder: 1, mark }, session);
    const conflicts = (session: string) => flows(d, session).filter((flow) => 'conflict' in flow).length;
    const length = () => d.state.jobs.get(job)!.stages[0]!.columns.length;
    feed('first', 0, [0, 11, 12, 13]);
    feed('same', 0, [0, 11, 12, 13, 14]);
    expect([length(), conflicts('same')]).toEqual([4, 0]);
    feed('whole', 2, [12, 93, 94]);
    feed('partly', 3, [93, 94, 95]);
    feed('behind', 4, [94, 95]);
    seal('fewer', 3, 13);
    seal('others', 4, 94);
    expect(['whole', 'partly', 'behind', 'fewer', 'others'].map(conflicts)).toEqual([1, 1, 1, 1, 1]);
    expect(length()).toBe(4);
    d.takeOver();
    d.hello();
    feed('later', 3, [93, 94, 95]);
    seal('first', 4, 14);
    feed('more', 4, [14, 15]);
    seal('more', 5, 15);
    expect([conflicts('later'), conflicts('first'), conflicts('more')]).toEqual([1, 0, 2]);
    d.work(upper);
    expect(d.read(job)).toEqual(texts(4).map((text) => `<${text}>`));
  });

  it('with nothing to say becomes the feeder again by an empty batch', () => {
    const d = cluster();
    const job = d.submit(jobSpec([stage()]), texts(2), false);
    d.client({ kind: 'inputs', job, stage: 0, from: 2, lengths: new Uint32Array(), confirm: true, body: [] }, 'line 2');
    expect(flows(d, 'line 2')).toHaveLength(1);
    d.hello();
    d.work(upper);
    expect(flows(d, 'line 2').at(-1)).toMatchObject({ final: 2 });
  });
});

describe('a reader that comes back', () => {
  for (const order of ['input', 'completion'] as const) {
    it(`goes on where it was, in ${order} order, also under another leader`, () => {
      const d = cluster();
      d.hello();
      const job = d.submit(jobSpec([stage()]), texts(10));
      d.work(upper);
      const all = d.read(job, { order });
      d.client({ kind: 'read', reader: 98, job, order, credit: 4, inputs: false });
      d.takeOver();
      d.client({ kind: 'read', reader: 99, job, order, credit: 100, inputs: false, ...d.given(98) });
      const rest = d.delivered.filter(({ reader }) => reader === 99);
      expect(rest.flatMap(({ values }) => values)).toEqual(all.slice(4));
      expect(rest.at(-1)!.done).toBe(true);
      d.client({ kind: 'read', reader: 100, job, order, credit: 100, inputs: false, had: Uint32Array.of(0, 10) });
      expect(d.delivered.at(-1)).toMatchObject({ reader: 100, values: [], done: true });
    });
  }
});

describe('a worker that reports all the time', () => {
  it('is asked for its list now and then: an assignment that never came is noticed (rule 8)', () => {
    const d = cluster();
    d.hello('w1', { slots: 1 });
    const lost = d.submit(jobSpec([stage()]), texts(1));
    d.take();
    const busy = d.submit(jobSpec([stage(undefined, { chunkSize: 1 })]), texts(40));
    d.sent.length = 0;
    for (let number = 1; number <= 10; number++) {
      d.pass(1_000);
      d.done(d.take(), (frame) => frame);
      d.worker({ kind: 'beat', number, term: 1, lastSerial: 100, load: 1, count: 1, hash: 1 });
    }
    expect(d.sent.filter(({ message }) => message.kind === 'report')).toHaveLength(1);
    const held = d.assigned.map(({ serial, job, ranges }) => ({ serial, term: 1, job, stage: 0, attempt: 1, ranges: [...ranges] }));
    d.worker({ kind: 'held', term: 1, lastSerial: 100, held });
    d.work(upper);
    expect([d.view(lost).state, d.view(busy).state]).toEqual(['succeeded', 'succeeded']);
  });

  it('has all of its resources again once it holds nothing, whatever fractions were taken', () => {
    const d = cluster();
    d.hello('w1', { resources: { cpu: 8 } });
    for (let jobs = 0; jobs < 50; jobs++) d.submit(jobSpec([stage(undefined, { resources: { cpu: 0.1 } })]), texts(7));
    d.work(upper);
    expect(d.state.workersByName.get('w1')!.used).toEqual({});
  });
});
