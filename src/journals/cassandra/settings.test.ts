/** What clusters of several nodes and data centres would say, which no test has at hand. */
import { expect, it } from 'vitest';
import { type Cluster, durabilityOf, findings } from './settings.ts';

const three: Cluster = {
  version: '5.0.9',
  keyspace: 'jobs',
  isThere: true,
  isDurable: true,
  copies: new Map([['dc1', 3]]),
  datacenter: 'dc1',
  isMixed: false,
  syncs: ['periodic (10000ms)'],
  format: 0,
  decided: undefined,
};

const refused = (cluster: Cluster): string[] => findings(cluster).flatMap(({ level, setting }) => (level === 'refuse' ? [setting] : []));
const warned = (cluster: Cluster): string[] => findings(cluster).flatMap(({ level, setting }) => (level === 'warning' ? [setting] : []));

it.each<[string, Partial<Cluster>, string, string[]]>([
  ['three copies', {}, 'replicated', []],
  ['two, of which both must be there', { copies: new Map([['dc1', 2]]) }, 'replicated', ['keyspace jobs with 2 copies in dc1']],
  ['one copy, on disk sooner or later', { copies: new Map([['dc1', 1]]) }, 'process', ['commitlog_sync = periodic (10000ms)']],
  ['one copy, on disk', { copies: new Map([['dc1', 1]]), syncs: ['batch', 'group'] }, 'host', []],
  [
    'one copy, where one node differs',
    { copies: new Map([['dc1', 1]]), syncs: ['batch', 'periodic (1ms)'] },
    'process',
    ['commitlog_sync = batch, periodic (1ms)'],
  ],
  ['one copy, and nobody says', { copies: new Map([['dc1', 1]]), syncs: [] }, 'process', ['commitlog_sync = unknown']],
  ['no commit log', { isDurable: false }, 'process', ['durable_writes = false']],
])('%s', (_, what, durability, warnings) => {
  const cluster = { ...three, ...what };
  expect([durabilityOf(cluster), warned(cluster), refused(cluster)]).toEqual([durability, warnings, []]);
});

it.each<[string, Partial<Cluster>, RegExp]>([
  ['no keyspace', { isThere: false, copies: new Map([['dc1', 0]]), datacenter: undefined }, /^no keyspace jobs$/],
  [
    'two data centres, and nobody says which one decides',
    {
      copies: new Map([
        ['dc1', 3],
        ['dc2', 3],
      ]),
      datacenter: undefined,
    },
    /in 2 data centres/,
  ],
  [
    'a data centre without copies',
    {
      copies: new Map([
        ['dc1', 3],
        ['dc2', 0],
      ]),
      datacenter: 'dc2',
    },
    /no copies in data centre dc2/,
  ],
  [
    'another one than before',
    {
      copies: new Map([
        ['dc1', 3],
        ['dc2', 3],
      ]),
      decided: 'dc2',
    },
    /dc2 deciding so far, and now dc1/,
  ],
  [
    'copies wherever they happen to be',
    {
      copies: new Map([
        ['dc1', 3],
        ['dc2', 3],
      ]),
      isMixed: true,
    },
    /SimpleStrategy/,
  ],
])('refuses %s', (_, what, setting) => {
  expect(refused({ ...three, ...what })).toEqual([expect.stringMatching(setting)]);
});

it('takes the data centre that has decided before', () => {
  const both = new Map([
    ['dc1', 3],
    ['dc2', 3],
  ]);
  expect(refused({ ...three, copies: both, decided: 'dc1' })).toEqual([]);
});
