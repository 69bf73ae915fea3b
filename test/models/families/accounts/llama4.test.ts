import { againstAccounts } from "./against-accounts.js";

againstAccounts("llama4");
