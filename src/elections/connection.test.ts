import { beforeEach, expect, it } from 'vitest';
import { Connection, type Dial } from './connection.ts';

let dialled = 0;
let hungUp: number[] = [];
let onBroken: () => void;
beforeEach(() => {
  dialled = 0;
  hungUp = [];
});

const dial: Dial<number> = async (_signal, broken) => {
  const line = ++dialled;
  onBroken = broken;
  return { line, hangUp: () => hungUp.push(line) };
};
const fresh = (): AbortSignal => new AbortController().signal;
const lineOf = (connection: Connection<number>): Promise<number> => connection.use(fresh(), async (line) => line);

it('dials when it is needed, and once', async () => {
  const connection = new Connection(dial);
  expect(dialled).toBe(0);
  expect(await Promise.all([lineOf(connection), lineOf(connection)])).toEqual([1, 1]);
  connection.close();
  await Promise.resolve();
  expect(hungUp).toEqual([1]);
});

it('that broke between two uses costs the next one no failure', async () => {
  const connection = new Connection(dial);
  await lineOf(connection);
  onBroken();
  expect(await lineOf(connection)).toBe(2);
  expect(hungUp).toEqual([1]);
});

it('ends with a failure, and with a deadline that was missed (S10)', async () => {
  const connection = new Connection(dial);
  await expect(connection.use(fresh(), () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  expect(await lineOf(connection)).toBe(2);
  const late = new AbortController();
  const silent = connection.use(late.signal, () => new Promise(() => undefined));
  late.abort();
  expect(await lineOf(connection)).toBe(3);
  expect(hungUp).toEqual([1, 2]);
  await expect(connection.use(AbortSignal.abort(new Error('too late')), async () => 0)).rejects.toThrow('too late');
  void silent;
});
