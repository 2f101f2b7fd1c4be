import { describe } from 'vitest';
import { describeGateway } from './guarantees.ts';
import { nginx } from './nginx.ts';

describe('nginx', () => describeGateway(nginx));
