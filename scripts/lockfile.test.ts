import { expect, it } from 'vitest';
import { missingEntries } from './lockfile.mjs';

it('finds the platforms that a registry did not carry', () => {
  const packages = {
    '': {},
    'node_modules/tool': {
      version: '1.2.3',
      dev: true,
      license: 'MIT',
      optionalDependencies: { '@tool/darwin-arm64': '1.2.3', '@tool/linux-x64-musl': '1.2.3', '@tool/linux-x64-gnu': '1.2.3' },
    },
    'node_modules/@tool/linux-x64-gnu': { version: '1.2.3' },
  };
  const missing = missingEntries({ packages });
  expect(Object.fromEntries(missing)).toEqual({
    'node_modules/@tool/darwin-arm64': { version: '1.2.3', dev: true, license: 'MIT', optional: true, os: ['darwin'], cpu: ['arm64'] },
    'node_modules/@tool/linux-x64-musl': {
      ...{ version: '1.2.3', dev: true, license: 'MIT', optional: true },
      ...{ os: ['linux'], cpu: ['x64'], libc: ['musl'] },
    },
  });
  expect(missingEntries({ packages: { ...packages, ...Object.fromEntries(missing) } }).size).toBe(0);
});
