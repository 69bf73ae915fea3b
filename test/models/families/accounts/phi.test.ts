import { againstAccounts } from "./against-accounts.js";

// Above the original length of 8 positions all texts have the long factors; in the account, those of these tests do.
againstAccounts("phi", { "Phi-3, long": 128 });
