import { errors } from 'cassandra-driver';
import { expect, it } from 'vitest';
import { ConflictError, JournalFullError } from '../journal.ts';
import { addressOf, asKnown, isMissing, isUnprepared, shortly } from './connect.ts';

const at = (address: string, ...others: string[]) => addressOf(new URL(address), others);

it('reads an address', () => {
  expect(at('cassandra://h')).toEqual({ hosts: ['h:9042'], keyspace: 'shoal', datacenter: undefined, login: undefined, tls: undefined });
  expect(at('cassandra://h:1/Jobs?datacenter=dc1', 'i', '[::1]:2').hosts).toEqual(['h:1', 'i:1', '[::1]:2']);
  expect(at('cassandra://h/Jobs?datacenter=dc1&tls=true')).toMatchObject({ keyspace: 'Jobs', datacenter: 'dc1', tls: {} });
  const { login } = at('cassandra://u%40:p%2F@h');
  expect([login?.user, login?.password.reveal(), JSON.stringify(login)]).toEqual(['u@', 'p/', expect.not.stringContaining('p/')]);
});

it.each(['cassandra://h/a-b', 'cassandra://h/a/b', `cassandra://h/${'k'.repeat(49)}`, 'cassandra://h/k?dc=1', 'cassandra://h?ca=/nowhere'])(
  'refuses %s',
  (address) => {
    expect(() => at(address)).toThrow(expect.objectContaining({ code: 'SH1305' }));
  },
);

const answer = (code: number, message: string): Error => new errors.ResponseError(code, message);
const ofAll = (error: Error): Error => new errors.NoHostAvailableError({ '127.0.0.1:9042': error } as never);

it('knows what its server means', () => {
  // As 5.0.9 says it.
  const full = 'Guardrail replica_disk_usage violated: Write request failed because disk usage exceeds failure threshold';
  expect(asKnown(answer(0x2200, full))).toBeInstanceOf(JournalFullError);
  expect(
    asKnown(answer(0x2100, 'User guest has no MODIFY permission on <table jobs.journal_entries> or any of its parents')),
  ).toMatchObject({
    code: 'SH4013',
  });
  expect(asKnown(ofAll(new errors.AuthenticationError('Provided username u and/or password are incorrect')))).toMatchObject({
    code: 'SH4013',
  });
  expect(asKnown(answer(0x1100, 'Server timeout during write query'))).toBeUndefined();
  const conflict = new ConflictError('a', 0);
  expect(asKnown(conflict)).toBe(conflict);
});

it('knows a table that is not there, by each of the words for it', () => {
  for (const message of ['table journal_entries does not exist', 'keyspace jobs does not exist', 'unconfigured table journal_entries'])
    expect(isMissing(answer(0x2200, message))).toBe(true);
  expect(isMissing(answer(0x2200, 'Undefined column name x'))).toBe(false);
  expect(isUnprepared(ofAll(answer(0x2500, 'Prepared query with ID … not found')))).toBe(true);
  expect(isUnprepared(answer(0x1100, 'Server timeout during write query'))).toBe(false);
});

it('says in one line what each of its hosts said', () => {
  expect(shortly(ofAll(answer(0x1000, 'not enough replicas'))).message).toBe('127.0.0.1:9042: not enough replicas');
  expect(shortly(new Error('as it was')).message).toBe('as it was');
});
