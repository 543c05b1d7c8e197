import { getEventListeners } from 'node:events';
import { expect, it } from 'vitest';
import { linkedAbort } from './linked-abort.ts';

it('aborts with the first that aborts, for its reason', () => {
  const [first, second] = [new AbortController(), new AbortController()];
  const { controller } = linkedAbort(first.signal, second.signal);
  second.abort('two');
  first.abort('one');
  expect(controller.signal).toMatchObject({ aborted: true, reason: 'two' });
  expect(linkedAbort(first.signal).controller.signal).toMatchObject({ aborted: true, reason: 'one' });
});

it('leaves nothing behind once it is unlinked', () => {
  const { signal } = new AbortController();
  for (let i = 0; i < 100; i++) linkedAbort(signal).unlink();
  expect(getEventListeners(signal, 'abort')).toEqual([]);
});
