-- CreateTable
CREATE TABLE "TaskState" (
    "jobId" TEXT NOT NULL,
    "operatorId" TEXT NOT NULL,
    "shape" TEXT NOT NULL,
    "discardFor" TEXT,
    "sealed" TEXT,
    "control" BLOB NOT NULL,
    "lastSegment" INTEGER NOT NULL,
    "commits" BIGINT NOT NULL,
    "bytes" BIGINT NOT NULL,
    "checkpoints" TEXT NOT NULL DEFAULT '[]',
    "updatedAt" BIGINT NOT NULL,

    PRIMARY KEY ("jobId", "operatorId"),
    CONSTRAINT "TaskState_jobId_fkey" FOREIGN KEY ("jobId") REFERENCES "Job" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);

-- CreateTable
CREATE TABLE "StatePart" (
    "jobId" TEXT NOT NULL,
    "operatorId" TEXT NOT NULL,
    "segment" INTEGER NOT NULL,
    "part" INTEGER NOT NULL,
    "parts" INTEGER NOT NULL,
    "sealed" TEXT,
    "data" BLOB NOT NULL,

    PRIMARY KEY ("jobId", "operatorId", "segment", "part"),
    CONSTRAINT "StatePart_jobId_fkey" FOREIGN KEY ("jobId") REFERENCES "Job" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);
