/** What goes wrong in a worker's own process costs what it must, and never the worker. */
import { describe, expect, test } from 'vitest';
import { assignMessage as raw } from './protocol-double.suite.ts';
import { type doubles, start, startPlayed } from './worker-double.suite.ts';

test('a message that can not be written costs that message', async () => {
  const warnings: string[] = [];
  const { coordinator, broker } = await start({ onWarning: (line) => warnings.push(line) });
  const send = broker.send.bind(broker);
  let thrown = 0;
  broker.send = (address, chunks) => {
    if (!address.startsWith('worker.') && ++thrown === 1) throw new TypeError('nobody can write this');
    return send(address, chunks);
  };
  await coordinator.until(() => thrown > 1);
  coordinator.assign([0, 3]);
  await coordinator.until(() => coordinator.results.size === 3);
  expect(warnings).toEqual([expect.stringContaining('was not sent: nobody can write this')]);
});

test('a slot that can not be given its work leaves the others theirs', async () => {
  const warnings: string[] = [];
  const { coordinator, worker, slots, given } = await startPlayed({ onWarning: (line) => warnings.push(line) });
  worker.warm();
  slots[0]!.onRun = () => {
    throw new Error('no room for it');
  };
  coordinator.assign([0, 2], raw);
  await given(2);
  expect(slots[1]!.works).toHaveLength(1);
  expect(warnings).toEqual(['worker w1: run was not possible: no room for it']);
});

describe('uploaded programs', () => {
  const bundle = 'b'.repeat(64);
  const make: typeof doubles = (term, serial, ranges) => raw(term, serial, ranges, { definition: { name: 'x', bundle } });
  const bundles = { has: async () => true, store: async () => undefined, urlOf: () => 'file:///x.mjs', isThere: () => true };

  test('a cache that can not be used refuses them, and ends nothing', async () => {
    const has = () => Promise.reject(new Error('ENOSPC'));
    const { coordinator } = await startPlayed({ code: { modules: [], names: [], bundles: { ...bundles, has } } });
    coordinator.assign([0, 2], make);
    await coordinator.until(() => coordinator.said('refused').length === 1);
    expect(coordinator.said('refused')).toMatchObject([{ error: { code: 'SH5010', message: expect.stringContaining('ENOSPC') } }]);
  });

  test('one whose file has gone is looked for again, and its tasks go back meanwhile', async () => {
    let isThere = true;
    const code = { modules: [], names: [], bundles: { ...bundles, has: async () => isThere, isThere: () => isThere } };
    const { coordinator, slots, given } = await startPlayed({ slots: 1, code });
    coordinator.assign([0, 1], make);
    await given(1);
    isThere = false;
    const { works, options } = slots[0]!;
    options.events.refused(works[0]!, { name: 'ShoalError', code: 'SH5001', message: 'Cannot find module' });
    options.events.finished(works[0]!);
    await coordinator.until(() => coordinator.said('bundleWanted').length > 0);
    expect(coordinator.said('refused')).toEqual([]);
    expect(coordinator.said('released')).toMatchObject([{ why: 'Cannot find module' }]);
    coordinator.send({ kind: 'bundle', term: 1, hash: bundle, isThere: true, body: [] });
    await given(2);
  });
});
