import { withEachElection } from './pairs.ts';

withEachElection('postgres');
